import { Worker } from 'node:worker_threads';
import type { Log } from '../function.ts';
import { inWords } from '../log.ts';

/** What the thread is told once; `clock` is shared with it, see {@link RENEWED} and {@link BEAT}. */
export interface HeartbeatOptions {
  readonly url: string;
  readonly leaseSeconds: number;
  /** A loop that is blocked for longer is stuck: its leases end. */
  readonly stuckMs: number;
  readonly functions: readonly string[];
}

export interface ThreadData extends HeartbeatOptions {
  readonly pod: string;
  readonly clock: BigInt64Array<SharedArrayBuffer>;
}

/** Places in `clock`: when the lease was renewed last, and when the event loop last came round. */
export const RENEWED = 0;
export const BEAT = 1;

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
  readonly #clock = new BigInt64Array(new SharedArrayBuffer(16));
  #thread: Worker | null = null;
  #pod: string;

  constructor(options: HeartbeatOptions, pod: string, log: Log) {
    this.#options = options;
    this.#pod = pod;
    this.#log = log;
  }

  /** When the lease was renewed last, by the loop or the thread, on the clock of {@link now}. */
  get renewedAt(): number {
    return Number(Atomics.load(this.#clock, RENEWED));
  }

  /** The loop has renewed the lease of this name, by a statement sent at that time. */
  renewed(pod: string, at: number): void {
    if (at > this.renewedAt) Atomics.store(this.#clock, RENEWED, BigInt(at));
    if (pod === this.#pod) return;
    this.#pod = pod;
    this.#thread?.postMessage(pod);
  }

  /** The event loop comes round. */
  beat(): void {
    Atomics.store(this.#clock, BEAT, BigInt(now()));
  }

  /** Starts the thread, unless it runs. */
  start(): void {
    if (this.#thread !== null) return;
    this.beat();
    const workerData: ThreadData = { ...this.#options, pod: this.#pod, clock: this.#clock };
    const source = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const url = new URL(`./heartbeat-thread.${source}`, import.meta.url);
    const thread = new Worker(url, { workerData, name: 'heartbeat' });
    this.#thread = thread;
    thread.unref();
    thread.on('error', (error) => {
      this.#log.warn({ error: inWords(error) }, 'the heartbeat thread has ended');
    });
  }

  async stop(): Promise<void> {
    await this.#thread?.terminate();
  }
}
