/** How often the event loop has to come round. */
const EVERY_MS = 250;
/** Shorter ones are no harm to a lease, and too many to report. */
const BLOCKED_MS = 1_000;

export interface LoopWatchOptions {
  /** The loop comes round, or a handler of another function begins, while those of these are at work. */
  readonly onBeat: (functions: readonly string[]) => void;
  /** The loop was blocked for so many milliseconds while handlers of these functions were at work. */
  readonly onBlocked: (ms: number, functions: readonly string[]) => void;
}

/**
 * LoopWatch measures how long handlers keep the event loop to themselves. A timer that comes late says how
 * long; whose handler it was can be told where one function is at work, or where the handler did not
 * give the loop back when it was called.
 */
export class LoopWatch {
  readonly #options: LoopWatchOptions;
  readonly #working = new Map<string, number>();
  /** Functions that had a handler at work since the loop last came round. */
  readonly #since = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  #beatAt = 0;
  #culprit: string | null = null;

  constructor(options: LoopWatchOptions) {
    this.#options = options;
  }

  /** A handler of this function is about to be called. */
  enter(fn: string): void {
    const others = this.#working.get(fn) ?? 0;
    this.#working.set(fn, others + 1);
    this.#since.add(fn);
    if (this.#timer === null) {
      this.#beatAt = performance.now();
      this.#timer = setInterval(() => this.#beat(), EVERY_MS).unref();
    }
    if (others === 0) this.#options.onBeat([...this.#working.keys()]);
  }

  /** The call of a handler of this function gave the loop back after so many milliseconds. */
  called(fn: string, ms: number): void {
    if (ms > BLOCKED_MS) this.#culprit = fn;
  }

  leave(fn: string): void {
    const others = this.#working.get(fn)! - 1;
    if (others > 0) this.#working.set(fn, others);
    else this.#working.delete(fn);
  }

  #beat(): void {
    const at = performance.now();
    const ms = at - this.#beatAt;
    this.#beatAt = at;
    this.#options.onBeat([...this.#working.keys()]);
    if (ms > BLOCKED_MS + EVERY_MS) {
      this.#options.onBlocked(ms, this.#culprit === null ? [...this.#since] : [this.#culprit]);
    }
    this.#culprit = null;
    this.#since.clear();
    for (const fn of this.#working.keys()) this.#since.add(fn);
    if (this.#working.size > 0) return;
    clearInterval(this.#timer!);
    this.#timer = null;
  }
}
