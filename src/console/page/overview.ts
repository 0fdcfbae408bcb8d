import type { FunctionAnswer, FunctionsAnswer, IgnoredAnswer } from '../api-answers.ts';
import { byId, element } from '../browser/element.ts';
import { since } from './texts.ts';

/** Number of ignored types and tables that are shown. */
const MAX_IGNORED = 5;
const KINDS: Readonly<Record<IgnoredAnswer['kind'], readonly [one: string, more: string]>> = {
  event: ['event of the type', 'events of the type'],
  table: ['change of the table', 'changes of the table'],
  other: ['other', 'others, beyond the number that is counted by name'],
};

/** Shows the state of all functions. */
export function showOverview(answer: FunctionsAnswer): void {
  const { functions, parked, ignored, countedTo, sendPage } = answer;
  const number = (count: number) => `${count}${count >= countedTo ? '+' : ''}`;
  byId('functions').replaceChildren(...functions.map((each) => card(each, number)));
  byId('parked').replaceChildren(
    ...(parked === 0
      ? ['Nothing is parked: every event was understood.']
      : [
          parked === 1 ? '1 event is parked: ' : `${number(parked)} events are parked: `,
          element('code', {}, 'muster parked'),
          ' shows why.',
        ]),
  );
  byId('ignored').replaceChildren(...ignoredList(ignored));
  byId('send').replaceChildren(
    ...(sendPage === null ? [] : [element('a', { href: sendPage }, 'Send an event')]),
  );
  if (functions.length === 0) {
    byId('parked').replaceChildren(
      'No function is registered yet: ',
      element('code', {}, 'muster migrate'),
      '.',
    );
  }
}

/** What arrives although no function names it: the first thing to look at when a function gets nothing. */
function ignoredList(ignored: readonly IgnoredAnswer[]): Node[] {
  if (ignored.length === 0) return [];
  const items = ignored
    .slice(0, MAX_IGNORED)
    .map(({ kind, name, count, lastAt, source, note }) =>
      element(
        'li',
        {},
        `${count.toLocaleString()} ${KINDS[kind][count === 1 ? 0 : 1]} `,
        ...(name === '' ? [] : [element('code', {}, name)]),
        `${source === null ? '' : ` from ${source}`}, the last `,
        since(lastAt),
        note === '' ? '' : `: ${note}`,
      ),
    );
  const command = element('code', {}, 'muster ignored');
  return [
    element('p', {}, 'Ignored, because no function names it (', command, '):'),
    element('ul', {}, ...items),
  ];
}

function card(of: FunctionAnswer, number: (count: number) => string): HTMLElement {
  const { name, page, topic, paused, generation } = of;
  const what =
    topic === null
      ? `Runs for each complete set (definition ${generation})`
      : `Consumes the topic ${topic}`;
  const made = element(
    'section',
    { class: 'function', 'aria-labelledby': `function-${name}` },
    element(
      'header',
      {},
      element('h2', { id: `function-${name}` }, name),
      ...(page === null ? [] : [element('a', { href: page.path }, `Open ${page.title}`)]),
    ),
    element('p', { class: 'what' }, paused ? `${what}, paused` : what),
  );
  if (topic !== null) return made;
  made.append(
    element(
      'dl',
      {},
      pair('Running', number(of.running)),
      pair('Ready to run', number(of.due)),
      pair('Failed', number(of.failed), of.failed > 0),
      pair('Overdue', number(of.overdue), of.overdue > 0),
      pair('Unsent events', number(of.unsent)),
    ),
    element('p', { class: 'how' }, element('a', { href: `#/${name}` }, `Sets of ${name}`)),
  );
  for (const state of ['failed', 'overdue'] as const) {
    if (of[state] === 0) continue;
    const command = element('code', {}, `muster sets ${name} --${state}`);
    made.append(element('p', { class: 'how' }, command, ' lists them.'));
  }
  return made;
}

function pair(term: string, value: string, isWrong = false): HTMLElement {
  const attributes: Record<string, string> = isWrong ? { class: 'wrong' } : {};
  return element('div', attributes, element('dt', {}, term), element('dd', {}, value));
}
