import { Worker } from 'node:worker_threads';
import type { Log } from '../function.ts';
import { errorText } from '../telemetry/log.ts';

/** What the thread is told once; `clock` is shared with it, see {@link RENEWED}. */
export interface HeartbeatOptions {
  readonly url: string;
  readonly leaseSeconds: number;
  readonly functions: readonly string[];
}

export interface ThreadData extends HeartbeatOptions {
  readonly worker: string;
  readonly clock: BigInt64Array<SharedArrayBuffer>;
}

/**
 * Places in `clock`: when the lease was renewed last, when the event loop last came round, and for how many
 * milliseconds it may be blocked before it counts as stuck and its leases end.
 */
export const RENEWED = 0;
export const BEAT = 1;
export const STUCK_MS = 2;

/** Milliseconds on a clock that all threads share. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/**
 * Heartbeat keeps the lease of a process whose event loop is blocked by a handler: a thread renews it, on
 * a connection of its own, when the loop has not done so for half a lease. Otherwise the thread asks the
 * database nothing and has no connection. It is started with the first handler, so that a cold start does
 * not pay for it (2 ms on the loop, 35 ms beside it).
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #log: Log;
  readonly #clock = new BigInt64Array(new SharedArrayBuffer(24));
  #thread: Worker | null = null;
  #worker: string;

  constructor(options: HeartbeatOptions, worker: string, log: Log) {
    this.#options = options;
    this.#worker = worker;
    this.#log = log;
    this.beat(0);
  }

  /** When the lease was renewed last, by the loop or the thread, on the clock of {@link now}. */
  get renewedAt(): number {
    return Number(Atomics.load(this.#clock, RENEWED));
  }

  /** The loop has renewed the lease of this name, by a statement sent at that time. */
  renewed(worker: string, at: number): void {
    if (at > this.renewedAt) Atomics.store(this.#clock, RENEWED, BigInt(at));
    if (worker === this.#worker) return;
    this.#worker = worker;
    this.#thread?.postMessage(worker);
  }

  /**
   * The event loop comes round. Until it does so again, it may be blocked for as long as the handlers at
   * work may take, if that has changed, and a lease more: they would have been aborted by then.
   */
  beat(longestMs?: number): void {
    Atomics.store(this.#clock, BEAT, BigInt(now()));
    if (longestMs === undefined) return;
    const stuckMs = Math.ceil(longestMs) + this.#options.leaseSeconds * 1000;
    Atomics.store(this.#clock, STUCK_MS, BigInt(stuckMs));
  }

  /** Starts the thread, unless it runs. */
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
      this.#log.warn({ error: errorText(error) }, 'the heartbeat thread has ended');
    });
  }

  async stop(): Promise<void> {
    await this.#thread?.terminate();
  }
}
