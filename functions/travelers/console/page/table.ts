import { byId, element } from 'musterjs/page';
import type { View } from './view.ts';
import type { Window } from './windows.ts';
import { countText, speedText, timeText, typeName } from './format.ts';

/** Number of rows that are shown at first: browsers take seconds for ten thousand. */
const FIRST_ROWS = 150;

/**
 * A table of all numbers, the newest first. It is rendered only while it is open, and is not updated while it has the
 * focus.
 */
export class Table {
  readonly #details = byId<HTMLDetailsElement>('table-details');
  readonly #host = byId('table');
  readonly #moreLine = byId('more-line');
  #isWhole = false;
  /** Whether the rendered rows belong to another view. */
  #isNew = true;
  #show = (): void => {};

  constructor() {
    this.#details.addEventListener('toggle', () => this.#show());
    byId('more').addEventListener('click', () => {
      this.#isWhole = true;
      this.#isNew = true;
      this.#show();
      this.#host.focus();
    });
  }

  show(view: View, types: readonly string[], windows: readonly Window[]): void {
    this.#show = () => {
      const isInUse = this.#host.contains(document.activeElement) && this.#host.firstChild !== null;
      if (!this.#details.open || (isInUse && !this.#isNew)) return;
      this.#isNew = false;
      const count = this.#isWhole ? windows.length : Math.ceil(FIRST_ROWS / types.length);
      const newest = windows.toReversed().slice(0, count);
      this.#moreLine.hidden = newest.length === windows.length;
      this.#host.replaceChildren(table(view, types, newest));
    };
    this.#show();
  }

  /** Prepares the table for another view, of which only the first rows are shown. */
  reset(): void {
    this.#isWhole = false;
    this.#isNew = true;
  }
}

function table(view: View, types: readonly string[], windows: readonly Window[]): HTMLElement {
  const { unit } = view;
  const heads = ['Window ends', 'Type', 'In view', 'Entered', 'Left'].map((name, index) =>
    element('th', { scope: 'col', rowspan: '2', class: index < 2 ? 'text' : '' }, name),
  );
  const speeds = ['Slowest', 'Average', 'Fastest', '50 %', '85 %', '95 %'].map((name) =>
    element('th', { scope: 'col' }, name),
  );
  const head = element(
    'thead',
    {},
    element(
      'tr',
      {},
      ...heads,
      element('th', { scope: 'colgroup', colspan: '6', class: 'group' }, `Speed in ${unit}`),
      element('th', { scope: 'col', rowspan: '2', class: 'text' }, 'State'),
    ),
    element('tr', {}, ...speeds),
  );
  const rows = windows.flatMap(({ end, provisional, points }) =>
    types.map((type, typeIndex) => {
      const point = points[typeIndex];
      const cells = [
        ...[point?.present, point?.entered, point?.left].map(countText),
        ...[point?.min, point?.average, point?.max, point?.p50, point?.p85, point?.p95].map(
          (each) => speedText(each, unit),
        ),
      ].map((text) => element('td', {}, text));
      const state =
        (point?.present ?? null) === null ? 'not heard' : provisional ? 'provisional' : 'final';
      return element(
        'tr',
        { class: provisional ? 'provisional' : '' },
        element('th', { scope: 'row', class: 'text' }, timeText(end, 'full')),
        element('td', { class: 'text' }, typeName(type)),
        ...cells,
        element('td', { class: 'text' }, state),
      );
    }),
  );
  return element('table', {}, head, element('tbody', {}, ...rows));
}
