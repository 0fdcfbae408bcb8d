import type { Counter } from 'prom-client';

/** Maximum number of types that are counted by name; senders choose them, and each is a time series. */
const MAX_TYPES = 50;
/** Maximum length of a type that is counted by name. */
const MAX_LENGTH = 200;
/** Label of all further types. */
const OTHER = 'other';

/** TypeCounter counts events of types that no function names, the first types by name and the others together. */
export class TypeCounter {
  readonly #counter: Counter<'type'>;
  readonly #types = new Set<string>();

  constructor(counter: Counter<'type'>) {
    this.#counter = counter;
  }

  /** Whether the type has not been counted, and would be by name. */
  isNew(type: string): boolean {
    return !this.#types.has(type) && this.#isNamed(type);
  }

  inc({ type }: { readonly type: string }): void {
    const isNamed = this.#isNamed(type);
    if (isNamed) this.#types.add(type);
    this.#counter.inc({ type: isNamed ? type : OTHER });
  }

  #isNamed(type: string): boolean {
    return this.#types.has(type) || (this.#types.size < MAX_TYPES && type.length <= MAX_LENGTH);
  }
}
