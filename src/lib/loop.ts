/**
 * Something done again and again: first after `firstMs`, then after `everyMs`, sooner when poked, at
 * once while a turn says that there is more. An error is reported and ends the turn, never the loop.
 */
export class Loop {
  readonly #everyMs: number;
  readonly #turn: () => Promise<boolean | void>;
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #poked = false;
  #stopped = false;
  readonly #ended: Promise<void>;

  constructor(
    everyMs: number,
    turn: () => Promise<boolean | void>,
    onError: (error: unknown) => void,
    firstMs = 0,
  ) {
    this.#everyMs = everyMs;
    this.#turn = turn;
    this.#onError = onError;
    this.#ended = this.#run(firstMs);
  }

  /** Lets the next turn begin now. */
  poke(): void {
    this.#poked = true;
    this.#wake?.();
  }

  /** Resolves when the turn under way has ended; there is none after it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#ended;
  }

  async #run(firstMs: number): Promise<void> {
    if (firstMs > 0) await this.#rest(firstMs);
    while (!this.#stopped) {
      this.#poked = false;
      let more = false;
      try {
        more = (await this.#turn()) === true;
      } catch (error) {
        this.#onError(error);
      }
      if (!more) await this.#rest(this.#everyMs);
    }
  }

  async #rest(ms: number): Promise<void> {
    if (this.#poked || this.#stopped) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = setTimeout(resolve, ms);
    });
    clearTimeout(this.#timer);
    this.#wake = undefined;
  }
}
