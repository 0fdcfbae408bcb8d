import type { ExplanationAnswer } from '../api-answers.ts';
import { byId, element } from '../browser/element.ts';
import { since, statusOf } from './texts.ts';

type Part = ExplanationAnswer['parts'][number];
type Row = Part['rows'][number];

/** Shows everything that is stored about one set. */
export function showSet(set: ExplanationAnswer): void {
  const { function: name, key, status, run } = set;
  const said = summary(set);
  byId('detail').replaceChildren(
    element(
      'nav',
      { 'aria-label': 'Breadcrumb' },
      element('a', { href: '#' }, 'All functions'),
      ' / ',
      element('a', { href: `#/${encodeURIComponent(name)}` }, name),
    ),
    element('h2', {}, key, ' ', statusOf(status)),
    ...(said.length === 0 ? [] : [element('p', { class: 'what' }, ...said)]),
    ...set.parts.map(part),
    ...(run === null ? [] : [runOf(run)]),
    ...(set.events.length === 0 ? [] : [eventsOf(set.events)]),
  );
}

function summary(set: ExplanationAnswer): (Node | string)[] {
  const { status, missing, overdue, paused, workers } = set;
  const said: (Node | string)[] = [];
  if (status === 'unknown') said.push('No row with this key has arrived. ');
  if (missing.length > 0 && status === 'waiting') {
    // a set that lost a row was complete in between
    const first = set.run === null ? firstRowAt(set) : undefined;
    const names = missing.join(' and ');
    if (first === undefined) said.push(`It waits for ${names}. `);
    else said.push(`It has waited for ${names} since `, since(first), '. ');
  }
  if (overdue !== null) {
    const verb = overdue.reported
      ? 'It was reported as overdue; its deadline was '
      : 'Its deadline is ';
    said.push(verb, since(overdue.at), '. ');
  }
  if (paused) said.push('The function is paused: no run starts. ');
  if (status === 'complete' && workers.current === 0) said.push('No worker serves the function. ');
  return said;
}

/** When the first of the rows that count arrived; undefined if none does. */
function firstRowAt({ parts }: ExplanationAnswer): string | undefined {
  const counted = parts.flatMap(({ rows }) => rows.filter(({ state }) => state === 'present'));
  return counted.map((row) => row.since).toSorted()[0];
}

function part({ part: name, have, need, rows, unsyncedSince }: Part): HTMLElement {
  const isMissing = have < need;
  return element(
    'section',
    { class: 'function', 'aria-label': `Part ${name}` },
    element('h3', {}, name, ' ', statusOf(isMissing ? `${have} of ${need}` : `${have}`)),
    ...(unsyncedSince === null
      ? []
      : [
          element(
            'p',
            { class: 'how' },
            'Rows that did not change since then may be unknown: ',
            since(unsyncedSince),
          ),
        ]),
    rows.length === 0
      ? element('p', { class: 'how' }, 'No row.')
      : element('ul', {}, ...rows.map(rowOf)),
  );
}

function rowOf(row: Row): HTMLElement {
  const { refusedBy, unavailable = [] } = row;
  const because =
    refusedBy === undefined
      ? ''
      : ` does not count: ${refusedBy.column} is ${JSON.stringify(refusedBy.got)}, not ${JSON.stringify(refusedBy.wanted)};`;
  const lacks = unavailable.length === 0 ? '' : `, without ${unavailable.join(', ')}`;
  return element(
    'li',
    {},
    element('code', {}, row.id),
    `${because} since `,
    since(row.since),
    lacks,
  );
}

function runOf(run: NonNullable<ExplanationAnswer['run']>): HTMLElement {
  const pairs: (readonly [string, Node | string])[] = [
    ['State', run.state],
    ['Attempts', String(run.attempts)],
    ['Complete since', since(run.createdAt)],
    ['Started', since(run.startedAt)],
    ['Finished', since(run.finishedAt)],
    ['Changes since then', String(run.lateChanges)],
    ['Last error', run.lastError ?? ''],
  ];
  return element(
    'section',
    { class: 'function', 'aria-label': 'Run' },
    element('h3', {}, `Run ${run.revision}`),
    element(
      'dl',
      {},
      ...pairs.flatMap(([term, value]) =>
        value === '' ? [] : [element('div', {}, element('dt', {}, term), element('dd', {}, value))],
      ),
    ),
  );
}

function eventsOf(events: ExplanationAnswer['events']): HTMLElement {
  const state = (each: (typeof events)[number]): (Node | string)[] => {
    if (each.sentAt !== null) return [' sent ', since(each.sentAt)];
    if (each.failedAt !== null) return [` refused: ${each.error ?? ''}`];
    return [each.error === null ? ' waits to be sent' : ` waits to be sent again: ${each.error}`];
  };
  return element(
    'section',
    { class: 'function', 'aria-label': 'Events' },
    element('h3', {}, 'Events'),
    element(
      'ul',
      {},
      ...events.map((each) => element('li', {}, element('code', {}, each.type), ...state(each))),
    ),
  );
}
