import { setTimeout as sleep } from 'node:timers/promises';
import { waitAfter } from '../../lib/retry.ts';
import { Unavailable } from '../../state/outcome.ts';
import type { EventIngestor } from '../ingest.ts';
import type { Read } from './row-changes.ts';
import type { TruncateChange } from '../../state/change.ts';

/** Changes that are ingested together: the maximum of one statement. */
const CHUNK = 256;
/** Concurrent chunks: a few for each connection that ingests, so that none waits for the next changes. */
const CHUNKS = 8;
/** Changes that may wait, beside those in progress, and memory that one needs beside its bytes. */
const MAX_WAITING = 4_096;
const OVERHEAD = 400;
const BACKOFF = { attempts: Infinity, firstMs: 100, maxMs: 5_000 };

/** Where changes are delivered: a promise resolves once one is committed. */
export type Ingestor = {
  readonly [Method in 'ingestChange' | 'park']: (
    ...args: Parameters<EventIngestor[Method]>
  ) => Promise<unknown>;
};

export interface DeliveryOptions {
  readonly ingestor: Ingestor;
  /** Limit for the bytes that wait or are in progress. */
  readonly maxBytes: number;
  /** How long changes that could not be ingested are retried before the delivery fails. */
  readonly retryMs: number;
  /** Changes were ingested or parked. */
  readonly onDelivered: (count: number) => void;
  readonly onRetry: (error: unknown) => void;
}

interface Item {
  readonly read: Read | Read<TruncateChange>;
  readonly bytes: number;
  readonly done: () => void;
}

/**
 * Delivery hands changes to state in chunks, several at a time and so in no order. A change counts as delivered when
 * it is committed, ingested or parked.
 */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #failed = Promise.withResolvers<never>();
  #waiting: Item[] = [];
  #running = 0;
  #bytes = 0;
  #isScheduled = false;
  /** Why it has ended. */
  #reason: Error | null = null;
  /** Called when something was delivered, or the delivery has ended. */
  #waiters: (() => void)[] = [];

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#failed.promise.catch(() => {}); // reported to those that await it
  }

  /** Rejects when changes could not be ingested for too long. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Whether no more should be pushed for now. */
  get isFull(): boolean {
    return this.#bytes >= this.#options.maxBytes || this.#waiting.length >= MAX_WAITING;
  }

  /** Whether so little is left that more may be pushed after {@link isFull}. */
  get hasRoom(): boolean {
    return this.#bytes <= this.#options.maxBytes / 2 && this.#waiting.length <= MAX_WAITING / 2;
  }

  push(read: Item['read'], bytes: number, done: () => void): void {
    const held = bytes + OVERHEAD;
    this.#waiting.push({ read, bytes: held, done });
    this.#bytes += held;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // All that one packet from the source brings shares a chunk.
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#pump();
    });
  }

  /** Resolves when there is room for more; rejects when the delivery has failed or is stopped. */
  async room(): Promise<void> {
    while (!this.hasRoom || this.#reason !== null) await this.#change();
  }

  /** Resolves when everything is delivered; rejects when the delivery has failed or is stopped. */
  async drained(): Promise<void> {
    while (this.#waiting.length > 0 || this.#running > 0 || this.#reason !== null) {
      await this.#change();
    }
  }

  /** Ends the retries. What is in progress may still be committed. */
  stop(reason: Error): void {
    this.#reason ??= reason;
    this.#waiting = [];
    this.#failed.reject(reason);
    this.#wake();
  }

  async #change(): Promise<void> {
    if (this.#reason === null) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    if (this.#reason !== null) throw this.#reason;
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #pump(): void {
    while (this.#running < CHUNKS && this.#waiting.length > 0) {
      const chunk = this.#waiting.splice(0, CHUNK);
      this.#running += 1;
      void this.#deliver(chunk).finally(() => {
        this.#running -= 1;
        this.#pump();
        this.#wake();
      });
    }
  }

  /** Ingests the changes of a chunk; those that could not be ingested again, until all are. */
  async #deliver(chunk: readonly Item[]): Promise<void> {
    const began = performance.now();
    let left = chunk;
    for (let attempt = 1; ; attempt++) {
      const results = await Promise.allSettled(left.map((item) => this.#ingest(item)));
      const failed = left.filter((_, i) => results[i]!.status === 'rejected');
      this.#options.onDelivered(left.length - failed.length);
      if (failed.length === 0 || this.#reason !== null) return;
      const { reason } = results.find(
        (each) => each.status === 'rejected',
      ) as PromiseRejectedResult;
      const isOver = performance.now() - began > this.#options.retryMs;
      if (isOver || isFinal(reason)) return this.stop(reason as Error);
      this.#options.onRetry(reason);
      await sleep(waitAfter(attempt, BACKOFF)!);
      if (this.#reason !== null) return;
      left = failed;
    }
  }

  async #ingest({ read, bytes, done }: Item): Promise<void> {
    const { ingestor } = this.#options;
    if (read.kind === 'change') await ingestor.ingestChange(read.change);
    else await ingestor.park(read.origin, 'bad-value', read.detail);
    this.#bytes -= bytes;
    done();
  }
}

/** Whether this process ingests nothing any more: then a slot must not stay in use for retries. */
function isFinal(error: unknown): boolean {
  if (error instanceof Error && error.name === 'AbortError') return true;
  const reason = error instanceof Unavailable ? error.reason : null;
  return reason === 'draining' || reason === 'superseded';
}
