import { setTimeout as sleep } from 'node:timers/promises';
import { failpoint } from '../lib/failpoint.ts';
import type { Slots } from '../state/ingest/batcher.ts';
import type { Capacity, Lease } from '../state/lease.ts';
import { Backlog } from './backlog.ts';
import { ShutDown } from './attempt-errors.ts';
import { Executor, type ExecutorOptions } from './executor.ts';
import { batchFor, type FunctionHandler } from './function-handler.ts';
import { Heartbeat } from './heartbeat.ts';
import { LeasedRuns } from './leased-runs.ts';
import { LOAD_BYTES, Loader, unloaded } from './loader.ts';
import { OpenClaims } from './open-claims.ts';
import { ProcessLease } from './process-lease.ts';
import { type QueuedRun, RunQueue } from './run-queue.ts';
import { isSuspect, mayShareCall, mustRecordStart } from './suspects.ts';

export interface RunnerOptions extends ExecutorOptions {
  /** Maximum number of concurrent handlers. */
  readonly slots: number;
  readonly leaseSeconds: number;
  /** URL of the state database, for the heartbeat's own connection. */
  readonly url: string;
  /** Called when a slot is free and there may be due runs that found none. */
  readonly onFree: () => void;
}

/** Grace period of aborted attempts at shutdown. */
const ABORT_GRACE_MS = 2_000;

/** Maximum size of a claim; in a larger one, the first run would only wait for the rows of the last. */
const MAX_CLAIM = 256;

/**
 * Runner runs the handlers of complete sets in a fixed number of slots, under leases: runs that a batch of this
 * process created leased, and due runs that it claims from Postgres.
 */
export class Runner implements Slots {
  readonly #options: RunnerOptions;
  readonly #executor: Executor;
  readonly #backlog: Backlog;
  readonly #queue: RunQueue;
  readonly #loader: Loader;
  readonly #heartbeat: Heartbeat;
  readonly #lease: ProcessLease;
  readonly #leased: LeasedRuns;
  readonly #claims: OpenClaims;
  /** Ids of the functions with batches. */
  readonly #batched: readonly number[];
  /** The function whose last claim is the longest ago first, so that a backlog of one does not take every free slot. */
  #claimOrder: readonly FunctionHandler[];
  /** Functions with batches of whose runs the last claim got some that run alone. */
  readonly #alone = new Set<number>();
  /** Slots that are reserved for the runs of a batch or claim in progress. */
  #reserved = 0;
  #draining = false;

  constructor(options: RunnerOptions) {
    const { url, leaseSeconds, log } = options;
    this.#options = options;
    this.#executor = new Executor(options, (longestMs) => this.#heartbeat.beat(longestMs));
    const handlers = [...this.#executor.handlers];
    this.#claimOrder = handlers.map(([, handler]) => handler);
    this.#leased = new LeasedRuns(
      handlers.flatMap(([id, { batch }]) => (batch === null ? [] : [[id, batch] as const])),
    );
    this.#batched = handlers.filter(([, { batch }]) => batch !== null).map(([id]) => id);
    this.#backlog = new Backlog(options.onFree, (fn) => {
      const { runs, worth } = this.#wanted(this.#executor.handlers.get(fn)!);
      return runs >= worth;
    });
    // if the database does not answer, a renewal deletes them
    this.#claims = new OpenClaims((claims) => void options.runs.endClaims(claims).catch(() => {}));
    this.#queue = new RunQueue({
      slots: options.slots,
      maxBytes: LOAD_BYTES,
      batchOf: ({ lease, members }) =>
        members === null ? null : batchFor(this.#executor.handlers.get(lease.function)!, lease),
      start: (runs) => void this.#run(runs),
    });
    this.#loader = new Loader({
      ...options,
      partOf: this.#executor.partOf,
      queuedBytes: () => this.#queue.bytes,
      onLoaded: (runs) => this.#enqueue(runs),
    });
    const functions = options.functions.map(({ definition }) => definition.name);
    this.#heartbeat = new Heartbeat({ url, leaseSeconds, functions }, log);
    this.#lease = new ProcessLease(options.runs, leaseSeconds, this.#leased, this.#heartbeat);
  }

  /** Id under which this process holds leases. */
  get worker(): string {
    return this.#lease.worker;
  }

  /** Number of running handlers. */
  get running(): number {
    return this.#queue.busy;
  }

  /** Remaining lease capacity: free slots plus `prefetch`. */
  #free(prefetch = 0): number {
    if (this.#draining) return 0;
    return Math.max(0, this.#options.slots + prefetch - this.#leased.slots - this.#reserved);
  }

  register(): Promise<void> {
    return this.#lease.register();
  }

  /** Runs are created leased ahead of a free slot as far as claims would prefetch them: that spares the queue. */
  reserve(): Capacity {
    const slots = this.#free();
    const ahead = Math.max(0, Math.min(MAX_CLAIM, this.#free(this.#queue.prefetch)) - slots);
    this.#reserve(slots + ahead);
    return { slots, ahead, batched: this.#batched };
  }

  start(leases: readonly Lease[], { slots, ahead }: Pick<Capacity, 'slots' | 'ahead'>): void {
    this.#reserved -= slots + ahead;
    if (leases.length > 0) this.#begin(leases);
    // Runs of a function with a concurrency limit are never created leased: they are claimed as soon as the
    // reserved slot is free again.
    if (this.#backlog.waitsForSlots && this.#free() > 0) this.#options.onFree();
    else this.#offer(); // a batch may have room
  }

  /** Called when runs were created that found no free slot in this process. */
  expectBacklog(): void {
    this.#backlog.add(this.#executor.handlers.keys(), 'slot');
    if (this.#free() > 0) this.#options.onFree();
    else this.#offer(); // a batch may have room
  }

  /** Claims due runs for free slots. */
  async claim(): Promise<void> {
    this.#backlog.clear();
    for (const handler of this.#claimOrder) {
      const { id, specification } = handler.served;
      const isLimited = specification.concurrency !== null;
      const { runs, startable, slots } = this.#wanted(handler);
      this.#reserve(slots);
      let leases: readonly Lease[] = [];
      try {
        if (runs > 0) {
          this.#claimOrder = [...this.#claimOrder.filter((each) => each !== handler), handler];
          leases = await this.#claimFor(handler, runs, startable);
        }
      } finally {
        if (leases.length > 0) failpoint('after-claim');
        this.start(handler.batch === null ? leases : this.#startable(handler, leases, slots), {
          slots,
          ahead: 0,
        });
      }
      if (leases.length === runs) this.#backlog.add([id], 'slot');
      else if (isLimited) this.#backlog.add([id], 'limit');
    }
    this.#offer();
  }

  /**
   * Returns how many runs of a function to claim, from which number on that is worth its price, how many of them start
   * at once, and the slots to reserve for them. A claim for one run costs as much as one for many.
   */
  #wanted({ served: { id, specification }, batch }: FunctionHandler) {
    if (batch === null) {
      // prefetched runs of a function with a concurrency limit would delay those of other workers
      const prefetch = specification.concurrency === null ? this.#queue.prefetch : 0;
      const runs = Math.min(MAX_CLAIM, this.#free(prefetch));
      const worth = Math.min(MAX_CLAIM, Math.max(1, prefetch / 2));
      const startable = Math.max(0, this.#options.slots - this.#queue.size - this.#reserved);
      return { runs, worth, startable, slots: runs };
    }
    const free = this.#free();
    if (this.#alone.has(id)) return { runs: free, worth: 1, startable: 0, slots: free };
    const { size } = batch;
    const room = this.#draining ? 0 : this.#leased.room(id);
    const runs = Math.min(Math.max(MAX_CLAIM, size), room + size * free);
    const slots = Math.ceil(Math.max(0, runs - room) / size);
    // A lost call charges none of its sets, so none of them counts as started.
    return { runs, worth: 1, startable: 0, slots };
  }

  /**
   * Returns the claimed runs of a function with batches without those that would have to wait for a slot each, and
   * releases these: another process may have a slot. The next claim is small until it gets none of them.
   */
  #startable(
    { served: { id } }: FunctionHandler,
    leases: readonly Lease[],
    slots: number,
  ): Lease[] {
    const alone = leases.filter((lease) => !mayShareCall(lease));
    if (alone.length === 0) this.#alone.delete(id);
    else this.#alone.add(id);
    const surplus = new Set(alone.slice(slots + this.#free()));
    void this.#release([...surplus]);
    return leases.filter((lease) => !surplus.has(lease));
  }

  /**
   * Renews the leases of this process and reaps those of dead ones. A run that is no longer leased to this process
   * is aborted; one that is leased but unknown here is started.
   */
  async renew(): Promise<void> {
    const orphans = await this.#lease.renew();
    if (orphans === null) return;
    if (orphans.length > 0) this.#begin(orphans);
    await this.#release([...leasesOf(this.#queue.takeLate()), ...this.#loader.takeLate()]);
    await this.#recordStarts();
    await this.#options.runs.reapExpired();
  }

  /** Releases queued runs, waits `graceMs` for running ones, then aborts them. No further runs are accepted. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    const waiting = [...leasesOf(this.#queue.takeAll()), ...this.#loader.stop()];
    const handlers = this.#leased.size - waiting.length;
    if (handlers > 0) {
      this.#options.log.info(
        { handlers, graceMs },
        'waiting for running handlers; a second signal ends the process at once',
      );
    }
    void this.#release(waiting);
    await this.#untilIdle(graceMs);
    for (const { abort } of this.#leased.values()) abort.abort(new ShutDown('the process stops'));
    await this.#untilIdle(ABORT_GRACE_MS);
  }

  /** Ends the lease of this process. Call it when the process no longer renews the lease or sends events. */
  deregister(): Promise<void> {
    return this.#lease.end();
  }

  /** Waits until no run is left, for at most `ms`. */
  async #untilIdle(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (this.#leased.size > 0 && performance.now() < until) await sleep(10);
  }

  async #claimFor(handler: FunctionHandler, count: number, slots: number): Promise<Lease[]> {
    const { runs } = this.#options;
    const { served, backoff } = handler;
    const { concurrency } = served.specification;
    const suspect = ![...this.#leased.values()].some(({ lease }) => isSuspect(lease));
    const claim = { slots, attempts: backoff.attempts, suspect };
    return concurrency === null
      ? runs.claim(served.id, this.#lease.worker, count, claim)
      : runs.claimLimited(served.id, this.#lease.worker, count, concurrency, claim);
  }

  #reserve(slots: number): number {
    this.#reserved += slots;
    return slots;
  }

  /** Loads the rows of runs before they queue for a slot, except for runs whose start must be recorded first. */
  #begin(leases: readonly Lease[]): void {
    const fresh = leases.filter((lease) => !this.#leased.has(lease));
    for (const lease of fresh) {
      this.#leased.add(lease);
      this.#claims.add(lease);
    }
    const loadsLater = (lease: Lease) => {
      const handler = this.#executor.handlers.get(lease.function)!;
      return batchFor(handler, lease) === null && mustRecordStart(lease, handler.backoff.attempts);
    };
    this.#loader.add(fresh.filter((lease) => !loadsLater(lease)));
    this.#enqueue(fresh.filter(loadsLater).map(unloaded));
  }

  #enqueue(runs: readonly QueuedRun[]): void {
    if (this.#draining) void this.#release(leasesOf(runs));
    else this.#queue.add(runs);
  }

  /** Releases runs that were not started; if the database does not answer, renewals find them again. */
  async #release(leases: readonly Lease[]): Promise<void> {
    if (leases.length === 0) return;
    await this.#options.runs.release(leases).catch(() => {});
    for (const lease of leases) {
      this.#leased.remove(lease);
      this.#claims.end(lease);
    }
  }

  /** Records the starts of prefetched runs whose handlers are still running. */
  async #recordStarts(): Promise<void> {
    const started = [...this.#leased.values()].filter(({ isUnrecorded }) => isUnrecorded);
    if (started.length === 0) return;
    await this.#options.runs.recordStarts(started.map(({ lease }) => lease));
    for (const leased of started) leased.isUnrecorded = false;
  }

  #offer(ended?: number): void {
    if (!this.#draining) this.#backlog.offer(ended);
  }

  async #run(runs: readonly QueuedRun[]): Promise<void> {
    const leased = runs.map(({ lease }) => this.#leased.get(lease));
    const [{ lease: first }] = runs as readonly [QueuedRun];
    this.#leased.enterSlot(leased);
    const startedAt = performance.now();
    let inSlot = true;
    const leaveSlot = () => {
      if (!inSlot) return;
      inSlot = false;
      this.#queue.leave(runs, performance.now() - startedAt);
    };
    this.#heartbeat.start();
    const isOver = await this.#executor.execute(runs, leased, leaveSlot);
    if (isOver) {
      this.#leased.end(leased);
      for (const { lease } of runs) this.#claims.end(lease);
    } else this.#leased.waitAgain(leased);
    leaveSlot();
    if (!isOver) this.#enqueue(runs.map((run) => ({ ...run, isLarge: true })));
    this.#loader.pump();
    if (isOver && isSuspect(first)) this.#options.onFree();
    else this.#offer(first.function);
  }
}

function leasesOf(runs: readonly QueuedRun[]): Lease[] {
  return runs.map(({ lease }) => lease);
}
