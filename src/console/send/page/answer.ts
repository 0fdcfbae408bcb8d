import { byId, element } from '../../browser/element.ts';
import { linkTo, statusOf } from '../../page/texts.ts';
import type { SendAnswer } from '../answers.ts';

const OUTCOMES: Readonly<Record<SendAnswer['outcome'], string>> = {
  ingested: 'its effect is committed',
  unwanted: 'no function here has a part on its table',
  ignored: 'it changes nothing',
  parked: 'it could not be understood; muster parked lists it, and muster redeliver tries it again',
  refused: 'nothing of it is stored',
};

/** Shows what the functions answered, with a link to each set that the event touched. */
export function showAnswer({ status, outcome, reason, sets: all }: SendAnswer): void {
  // Of functions on the same table, some do not count the row, and know no such set.
  const known = all.filter((set) => set.status !== 'unknown');
  const sets = known.length > 0 ? known : all;
  show(
    element('p', {}, statusOf(`${status} ${outcome}`), ` ${OUTCOMES[outcome]}`),
    ...(reason === null ? [] : [element('p', { class: 'reason' }, reason)]),
    ...(sets.length === 0 ? [] : [element('ul', {}, ...sets.map(setOf))]),
  );
}

/** Shows why there is no answer. */
export function showFailure(why: string): void {
  show(element('p', {}, statusOf('failed'), ` ${why}`));
}

export function showSending(): void {
  show(element('p', {}, 'Sending…'));
}

function show(...content: Node[]): void {
  const title = element('h2', { id: 'answer-title' }, 'Answer');
  byId('answer').replaceChildren(
    element('section', { class: 'function', 'aria-labelledby': 'answer-title' }, title, ...content),
  );
}

function setOf({ function: name, key, status, missing }: SendAnswer['sets'][number]): HTMLElement {
  const lacks = missing.length === 0 ? '' : `, without ${missing.join(' and ')}`;
  return element(
    'li',
    {},
    element('a', { href: `../${linkTo(name, key)}` }, `${name}, ${key}`),
    ' ',
    statusOf(status),
    lacks,
  );
}
