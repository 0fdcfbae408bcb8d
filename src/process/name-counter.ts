import type { Counter } from 'prom-client';

/** Maximum number of names that are counted by themselves; senders choose them, and each is a time series. */
const MAX_NAMES = 50;
/** Maximum length of a name that is counted by itself. */
const MAX_LENGTH = 200;
/** Label of all further names. */
const OTHER = 'other';

/** NameCounter counts what senders name: the first names by themselves, and the others together. */
export class NameCounter<L extends string> {
  readonly #counter: Counter<L>;
  readonly #label: L;
  readonly #names = new Set<string>();

  constructor(counter: Counter<L>, label: L) {
    this.#counter = counter;
    this.#label = label;
  }

  /** Whether the name has not been counted, and would be by itself. */
  isNew(name: string): boolean {
    return !this.#names.has(name) && this.#isCounted(name);
  }

  inc(labels: Readonly<Record<L, string>>): void {
    const name = labels[this.#label];
    const isCounted = this.#isCounted(name);
    if (isCounted) this.#names.add(name);
    this.#counter.inc({ [this.#label]: isCounted ? name : OTHER } as Record<L, string>);
  }

  #isCounted(name: string): boolean {
    return this.#names.has(name) || (this.#names.size < MAX_NAMES && name.length <= MAX_LENGTH);
  }
}
