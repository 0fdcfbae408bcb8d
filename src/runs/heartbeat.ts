import { Worker } from 'node:worker_threads';
import type { Log } from '../function.ts';
import { redactedErrorText } from '../lib/error-text.ts';

export interface HeartbeatOptions {
  readonly url: string;
  readonly leaseSeconds: number;
  readonly functions: readonly string[];
}

/** Data for the thread when it starts. `clock` is shared with it; see {@link RENEWED}. */
export interface ThreadData extends HeartbeatOptions {
  readonly worker: string;
  readonly clock: BigInt64Array<SharedArrayBuffer>;
}

/**
 * Indexes of `clock`: the time of the last renewal, the time of the event loop's last turn, and the
 * milliseconds for which the loop may be blocked before it counts as stuck and its leases end.
 */
export const RENEWED = 0;
export const BEAT = 1;
export const STUCK_MS = 2;

/** Milliseconds of a clock that all threads share. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/**
 * Heartbeat keeps the lease of a process whose event loop is blocked by a handler: a thread renews it, on its
 * own connection, when the loop has not done so for half a lease. Otherwise the thread has no connection and
 * sends nothing. It starts with the first handler, so that it does not slow down a cold start (2 ms on the loop,
 * 35 ms in parallel).
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #log: Log;
  readonly #clock = new BigInt64Array(new SharedArrayBuffer(24));
  #thread: Worker | null = null;
  /** Empty until the process has registered; the thread starts after that. */
  #worker = '';

  constructor(options: HeartbeatOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    this.beat(0);
  }

  /** Time of the last renewal by the loop or the thread, on the clock of {@link now}. */
  get renewedAt(): number {
    return Number(Atomics.load(this.#clock, RENEWED));
  }

  /** Records that the loop has renewed the lease of this worker, by a statement sent at time `at`. */
  renewed(worker: string, at: number): void {
    if (at > this.renewedAt) Atomics.store(this.#clock, RENEWED, BigInt(at));
    if (worker === this.#worker) return;
    this.#worker = worker;
    this.#thread?.postMessage(worker);
  }

  /**
   * Records a turn of the event loop. Until its next turn the loop may be blocked for `longestMs`, the longest
   * timeout among the running handlers, plus one lease: they would have been aborted by then. Without
   * `longestMs` the limit does not change.
   */
  beat(longestMs?: number): void {
    Atomics.store(this.#clock, BEAT, BigInt(now()));
    if (longestMs === undefined) return;
    const stuckMs = Math.ceil(longestMs) + this.#options.leaseSeconds * 1000;
    Atomics.store(this.#clock, STUCK_MS, BigInt(stuckMs));
  }

  /** Starts the thread. Idempotent. */
  start(): void {
    if (this.#thread !== null) return;
    this.beat();
    const workerData: ThreadData = { ...this.#options, worker: this.#worker, clock: this.#clock };
    const source = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const url = new URL(`./heartbeat-thread.${source}`, import.meta.url);
    const thread = new Worker(url, { workerData, name: 'heartbeat' });
    this.#thread = thread;
    thread.unref();
    thread.on('error', (error) => {
      this.#log.warn({ error: redactedErrorText(error) }, 'the heartbeat thread has ended');
    });
  }

  async stop(): Promise<void> {
    await this.#thread?.terminate();
  }
}
