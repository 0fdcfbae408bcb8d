/**
 * Something done again and again: after `everyMs`, sooner when poked, at once while a turn says that
 * there is more. An error is reported and ends the turn, never the loop.
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
  ) {
    this.#everyMs = everyMs;
    this.#turn = turn;
    this.#onError = onError;
    this.#ended = this.#run();
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

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#poked = false;
      let more = false;
      try {
        more = (await this.#turn()) === true;
      } catch (error) {
        this.#onError(error);
      }
      if (!more) await this.#rest();
    }
  }

  async #rest(): Promise<void> {
    if (this.#poked || this.#stopped) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = setTimeout(resolve, this.#everyMs);
    });
    clearTimeout(this.#timer);
    this.#wake = undefined;
  }
}
