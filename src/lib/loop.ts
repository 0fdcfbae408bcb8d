/**
 * Loop runs a turn periodically: first after `firstMs`, then `everyMs` after each turn. It runs one sooner
 * when poked, and immediately when the previous turn returned `true` because there is more to do. An error
 * is reported and ends the turn, but not the loop.
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

  /** Starts the next turn now, or right after the one that is running. */
  poke(): void {
    this.#poked = true;
    this.#wake?.();
  }

  /** Resolves when the current turn has ended. No other turn follows. */
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
