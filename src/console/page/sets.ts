import type { SetsAnswer } from '../api-answers.ts';
import { byId, element } from '../browser/element.ts';
import { linkTo, since, statusOf } from './texts.ts';

/** Shows what does not depend on the sets: where one is, and a form to look a set up. */
export function showSetsFrame(name: string): void {
  byId('detail').replaceChildren(
    element('nav', { 'aria-label': 'Breadcrumb' }, element('a', { href: '#' }, 'All functions')),
    element('h2', {}, name),
    lookUp(name),
    element('div', { id: 'sets' }),
  );
}

/** Shows the sets of a function. The form stays as it is: somebody may be typing in it. */
export function showSets(name: string, { sets, limit }: SetsAnswer): void {
  byId('sets').replaceChildren(
    sets.length === 0
      ? element('p', { class: 'how' }, 'There is no set yet: none of its rows has arrived.')
      : table(name, sets),
    ...(sets.length < limit ? [] : [element('p', { class: 'how' }, `The first ${limit} sets.`)]),
  );
}

function lookUp(name: string): HTMLElement {
  const input = element('input', { id: 'key', name: 'key', required: '', autocomplete: 'off' });
  const form = element(
    'form',
    { class: 'look-up' },
    element('label', { for: 'key' }, 'Key'),
    input,
    element('button', { type: 'submit' }, 'Explain'),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    location.hash = linkTo(name, input.value.trim());
  });
  return form;
}

function table(name: string, sets: SetsAnswer['sets']): HTMLElement {
  const head = ['Key', 'Status', 'Since', 'Missing, or the last error'];
  return element(
    'div',
    { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `Sets of ${name}` },
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element('tr', {}, ...head.map((each) => element('th', { scope: 'col' }, each))),
      ),
      element('tbody', {}, ...sets.map((set) => row(name, set))),
    ),
  );
}

function row(name: string, set: SetsAnswer['sets'][number]): HTMLElement {
  const missing = set.missing.map(({ part, have, need }) =>
    need === 1 ? part : `${part} (${have} of ${need})`,
  );
  return element(
    'tr',
    {},
    element('td', {}, element('a', { href: linkTo(name, set.key) }, set.key)),
    element('td', {}, statusOf(set.overdue ? 'overdue' : set.status)),
    element('td', {}, since(set.since)),
    element('td', {}, missing.length > 0 ? missing.join(', ') : (set.error ?? '')),
  );
}
