/** What due runs of a function wait for: a slot of this process, or the function's concurrency limit. */
type WaitsFor = 'slot' | 'limit';

/** Backlog stores the ids of the functions that may have due runs which are not leased yet. */
export class Backlog {
  #functions = new Map<number, WaitsFor>();
  #isOffered = false;
  readonly #onOffer: () => void;
  readonly #roomOf: (fn: number) => number;

  /** `roomOf` returns how many runs fit into the batch of a function that waits. */
  constructor(onOffer: () => void, roomOf: (fn: number) => number) {
    this.#onOffer = onOffer;
    this.#roomOf = roomOf;
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
   * Requests a claim if it is worthwhile: once a slot, or half of the prefetch window, is free (a claim for one run
   * costs as much as one for many), while a batch waits that has room, or once a run has ended of a function
   * (`ended`) that was at its concurrency limit. The latter requests a claim regardless of the free slots: with the
   * periodic claim alone, a function with a limit of 2 ran 2 handlers per second.
   */
  offer(free: number, prefetch: number, maxClaim: number, ended?: number): void {
    if (this.#isOffered || this.#functions.size === 0) return;
    const worth = Math.min(maxClaim, Math.max(1, prefetch / 2));
    const isLimitLifted = ended !== undefined && this.#functions.get(ended) === 'limit';
    if (!isLimitLifted && !this.#hasRoom() && !(this.waitsForSlots && free >= worth)) return;
    this.#isOffered = true;
    // Waiting one turn of the event loop lets handlers that end together share a claim.
    setImmediate(() => {
      this.#isOffered = false;
      this.#onOffer();
    });
  }

  #hasRoom(): boolean {
    return [...this.#functions].some(([fn, what]) => what === 'slot' && this.#roomOf(fn) > 0);
  }
}
