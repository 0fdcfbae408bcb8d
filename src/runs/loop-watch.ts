/** Interval of the timer by which turns of the event loop are measured. */
const EVERY_MS = 250;
/** Shorter blocks do not endanger a lease, and are too frequent to report. */
const BLOCKED_MS = 1_000;

export interface LoopWatchOptions {
  /** Called with the functions that have running handlers, when the loop turns or another function begins. */
  readonly onBeat: (functions: readonly string[]) => void;
  /** Called when the loop was blocked for `ms` while handlers of these functions were running. */
  readonly onBlocked: (ms: number, functions: readonly string[]) => void;
}

/**
 * LoopWatch measures how long handlers block the event loop, by the delay of a timer. The function that blocked it
 * is known if only one had running handlers, or if the synchronous part of a handler took that long.
 */
export class LoopWatch {
  readonly #options: LoopWatchOptions;
  readonly #working = new Map<string, number>();
  /** Functions that had a running handler since the last turn of the loop. */
  readonly #since = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  #beatAt = 0;
  #culprit: string | null = null;

  constructor(options: LoopWatchOptions) {
    this.#options = options;
  }

  /** Call it before a handler of this function. */
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

  /** Call it when the call of a handler of this function has returned, after `ms`. */
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
