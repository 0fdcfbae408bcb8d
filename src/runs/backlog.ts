/** What due runs of a function wait for: a slot of this process, or the function's concurrency limit. */
type WaitsFor = 'slot' | 'limit';

/** Backlog stores the ids of the functions that may have due runs which are not leased yet. */
export class Backlog {
  #functions = new Map<number, WaitsFor>();
  #isOffered = false;
  readonly #onOffer: () => void;
  readonly #isWorthwhile: (fn: number) => boolean;

  /** `isWorthwhile` returns whether a claim of runs of this function is worth its price now. */
  constructor(onOffer: () => void, isWorthwhile: (fn: number) => boolean) {
    this.#onOffer = onOffer;
    this.#isWorthwhile = isWorthwhile;
  }

  /** Adds functions that may have more due runs than could be leased. */
  add(functions: Iterable<number>, waitsFor: WaitsFor): void {
    for (const id of functions) this.#functions.set(id, waitsFor);
  }

  /** Call it before the due runs of all functions are claimed. */
  clear(): void {
    this.#functions = new Map();
  }

  get waitsForSlots(): boolean {
    return [...this.#functions.values()].includes('slot');
  }

  /**
   * Requests a claim if it is worthwhile, or once a run has ended of a function (`ended`) that was at its concurrency
   * limit: with the periodic claim alone, a function with a limit of 2 ran 2 handlers per second.
   */
  offer(ended?: number): void {
    if (this.#isOffered || this.#functions.size === 0) return;
    const isLimitLifted = ended !== undefined && this.#functions.get(ended) === 'limit';
    if (!isLimitLifted && !this.#hasWorthwhile()) return;
    this.#isOffered = true;
    // Waiting one turn of the event loop lets handlers that end together share a claim.
    setImmediate(() => {
      this.#isOffered = false;
      this.#onOffer();
    });
  }

  #hasWorthwhile(): boolean {
    for (const [fn, waitsFor] of this.#functions) {
      if (waitsFor === 'slot' && this.#isWorthwhile(fn)) return true;
    }
    return false;
  }
}
