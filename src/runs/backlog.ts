/** What due runs of a function wait for: a slot of this process, or the end of one of the function's runs. */
type Lack = 'slot' | 'bound';

/** Functions that may have more due runs than are leased here, by id. */
export class Backlog {
  #functions = new Map<number, Lack>();
  #isOffered = false;
  readonly #onOffer: () => void;

  constructor(onOffer: () => void) {
    this.#onOffer = onOffer;
  }

  /** More runs of these may be due than could be leased. */
  add(functions: Iterable<number>, lack: Lack): void {
    for (const id of functions) this.#functions.set(id, lack);
  }

  /** Everything that is due is about to be claimed. */
  clear(): void {
    this.#functions = new Map();
  }

  get lacksSlots(): boolean {
    return [...this.#functions.values()].includes('slot');
  }

  /**
   * Offers what is free to a claim, where that is worth one: a slot is free, or half of what is leased
   * ahead (a claim for one costs as much as one for many), or a run of a function has ended that was at
   * its bound. Then it is claimed at once, whatever other functions do: at the next look alone, a function
   * with a bound of 2 ran 2 handlers a second.
   */
  offer(free: number, ahead: number, maxClaim: number, ended?: number): void {
    if (this.#isOffered || this.#functions.size === 0) return;
    const worth = Math.min(maxClaim, Math.max(1, ahead / 2));
    const isBoundLifted = ended !== undefined && this.#functions.get(ended) === 'bound';
    if (!isBoundLifted && !(this.lacksSlots && free >= worth)) return;
    this.#isOffered = true;
    // One turn of the event loop lets handlers that end together share a claim.
    setImmediate(() => {
      this.#isOffered = false;
      this.#onOffer();
    });
  }
}
