import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { failpoint } from '../lib/failpoint.ts';
import type { Slots } from '../state/ingest/batcher.ts';
import type { Lease } from '../state/lease.ts';
import { Backlog } from './backlog.ts';
import type { Handling } from './execute.ts';
import { Executor, type ExecutorOptions, type Running } from './executor.ts';
import { Heartbeat, now } from './heartbeat.ts';
import { RunQueue, type Waiting } from './run-queue.ts';
import { Loader, unloaded } from './loader.ts';
import { isCareful, isSuspect } from './prepare.ts';
import { LeaseLost, ShutDown } from './reasons.ts';

export interface RunnerOptions extends ExecutorOptions {
  /** Handlers at a time. */
  readonly slots: number;
  readonly leaseSeconds: number;
  /** Of the state database: the heartbeat has a connection of its own. */
  readonly url: string;
  /** A slot is free again, and there may be due runs that found none. */
  readonly onFree: () => void;
}

/** Larger claims only make the first run wait for the rows of the last. */
const MAX_CLAIM = 256;

/**
 * Runs handlers of complete sets in a fixed number of slots, under leases: runs created leased by this
 * process' own batches, and due ones claimed from Postgres.
 */
export class Runner implements Slots {
  readonly #options: RunnerOptions;
  readonly #executor: Executor;
  readonly #backlog: Backlog;
  readonly #queue: RunQueue;
  readonly #loader: Loader;
  readonly #heartbeat: Heartbeat;
  /** Leased by this process, and not yet over: they are loaded, wait, are handled or marked. */
  readonly #running = new Map<string, Running>();
  #unknown = new Set<string>();
  #reserved = 0;
  #draining = false;
  #worker = randomUUID() as string;

  constructor(options: RunnerOptions) {
    const { url, leaseSeconds, log } = options;
    this.#options = options;
    this.#executor = new Executor(options, (longestMs) => this.#heartbeat.beat(longestMs));
    this.#backlog = new Backlog(options.onFree);
    this.#queue = new RunQueue(options.slots, (run) => void this.#run(run));
    this.#loader = new Loader({
      ...options,
      waitingBytes: () => this.#queue.bytes,
      onLoaded: (waiting) => this.#enqueue(waiting),
    });
    const functions = options.functions.map(({ definition }) => definition.name);
    this.#heartbeat = new Heartbeat({ url, leaseSeconds, functions }, this.#worker, log);
  }

  /** The name under which this process holds leases. */
  get worker(): string {
    return this.#worker;
  }

  /** Handlers at work. */
  get running(): number {
    return this.#queue.busy;
  }

  /** What may still be leased: as many as there are slots, and so many more. */
  #free(ahead = 0): number {
    if (this.#draining) return 0;
    return Math.max(0, this.#options.slots + ahead - this.#running.size - this.#reserved);
  }

  async register(): Promise<void> {
    const sentAt = now();
    await this.#options.runs.register(this.#worker, hostname(), this.#options.leaseSeconds);
    this.#heartbeat.renewed(this.#worker, sentAt);
  }

  reserve(): number {
    return this.#reserve(this.#free());
  }

  start(leases: readonly Lease[], reserved: number): void {
    this.#reserved -= reserved;
    if (leases.length > 0) this.#begin(leases);
    // runs of a function with a bound are never created leased: they are claimed as soon as a slot is back
    if (this.#backlog.lacksSlots && this.#free() > 0) this.#options.onFree();
  }

  /** Runs were created that found no free slot on this worker. */
  expectBacklog(): void {
    this.#backlog.add(this.#executor.handlings.keys(), 'slot');
    if (this.#free() > 0) this.#options.onFree();
  }

  /** Claims due runs for free slots. */
  async claim(): Promise<void> {
    this.#backlog.clear();
    for (const handling of this.#executor.handlings.values()) {
      const { id, specification } = handling.served;
      const isBounded = specification.concurrency !== null;
      // leased ahead, runs of a function with a bound would keep those of other pods from running
      const ahead = isBounded ? 0 : this.#queue.ahead;
      const slots = Math.max(0, this.#options.slots - this.#queue.taken - this.#reserved);
      const reserved = this.#reserve(Math.min(MAX_CLAIM, this.#free(ahead)));
      let leases: readonly Lease[] = [];
      try {
        if (reserved > 0) leases = await this.#claimOf(handling, reserved, slots);
      } finally {
        if (leases.length > 0) failpoint('after-claim');
        this.start(leases, reserved);
      }
      if (leases.length === reserved) this.#backlog.add([id], 'slot');
      else if (isBounded) this.#backlog.add([id], 'bound');
    }
    this.#offer();
  }

  /**
   * Keeps the leases of this process and frees those of dead ones. A run that is no longer held here is
   * aborted; one that is held but unknown (the answer that granted it was lost) is started when it is
   * still so a renewal later.
   */
  async renew(): Promise<void> {
    const before = [...this.#running];
    const sentAt = now();
    this.#heartbeat.beat();
    let held: Lease[] | null;
    try {
      held = await this.#options.runs.renew(this.#worker, this.#options.leaseSeconds);
    } catch (error) {
      if (now() - this.#heartbeat.renewedAt > this.#options.leaseSeconds * 1000) this.#abortAll();
      throw error;
    }
    if (held === null) {
      this.#abortAll();
      this.#worker = randomUUID();
      await this.register();
      return;
    }
    this.#heartbeat.renewed(this.#worker, sentAt);
    const names = new Set(held.map(nameOf));
    for (const [name, running] of before) {
      if (!names.has(name)) running.abort.abort(new LeaseLost('the lease of this run was lost'));
    }
    const unknown = held.filter((lease) => !this.#running.has(nameOf(lease)));
    const orphans = unknown.filter((lease) => this.#unknown.has(nameOf(lease)));
    this.#unknown = new Set(unknown.map(nameOf));
    if (orphans.length > 0) this.#begin(orphans);
    await this.#giveBack([...leasesOf(this.#queue.takeLate()), ...this.#loader.takeLate()]);
    await this.#recordLong();
    await this.#options.runs.reapExpired();
  }

  /** Takes no more runs, lets those under way end within the grace, gives the rest back. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    void this.#giveBack([...leasesOf(this.#queue.takeAll()), ...this.#loader.stop()]);
    const until = performance.now() + graceMs;
    while (this.#running.size > 0 && performance.now() < until) await sleep(10);
    for (const { abort } of this.#running.values()) abort.abort(new ShutDown('the process stops'));
    const hurry = performance.now() + 2_000;
    while (this.#running.size > 0 && performance.now() < hurry) await sleep(10);
  }

  /** Gives up this process' lease, when it neither renews it nor sends anything any more. */
  async deregister(): Promise<void> {
    await this.#heartbeat.stop();
    await this.#options.runs.deregister(this.#worker).catch(() => {}); // it ends by itself
  }

  #abortAll(): void {
    for (const { abort } of this.#running.values()) {
      abort.abort(new LeaseLost('the leases of this process could not be renewed in time'));
    }
  }

  async #claimOf({ served, backoff }: Handling, limit: number, slots: number): Promise<Lease[]> {
    const { runs } = this.#options;
    const bound = served.specification.concurrency;
    const suspect = ![...this.#running.values()].some(({ lease }) => isSuspect(lease));
    const claim = { slots, attempts: backoff.attempts, suspect };
    return bound === null
      ? runs.claim(served.id, this.#worker, limit, claim)
      : runs.claimBounded(served.id, this.#worker, limit, bound, claim);
  }

  #reserve(slots: number): number {
    this.#reserved += slots;
    return slots;
  }

  /** Loads the rows of most runs before they wait for a slot; those that may be given up have none loaded. */
  #begin(leases: readonly Lease[]): void {
    const fresh = leases.filter((lease) => !this.#running.has(nameOf(lease)));
    for (const lease of fresh) {
      const abort = new AbortController();
      this.#running.set(nameOf(lease), { lease, abort, unrecorded: false });
    }
    const careful = (lease: Lease) =>
      isCareful(lease, this.#executor.handlings.get(lease.function)!.backoff.attempts);
    this.#loader.add(fresh.filter((lease) => !careful(lease)));
    this.#enqueue(fresh.filter(careful).map(unloaded));
  }

  #enqueue(waiting: readonly Waiting[]): void {
    if (this.#draining) void this.#giveBack(leasesOf(waiting));
    else this.#queue.add(waiting);
  }

  /** Runs that were not begun; if the database does not hear of it, the renewals find them. */
  async #giveBack(leases: readonly Lease[]): Promise<void> {
    if (leases.length === 0) return;
    await this.#options.runs.release(leases).catch(() => {});
    for (const lease of leases) this.#running.delete(nameOf(lease));
  }

  /** Records the starts of handlers that are still at work: what was leased ahead has none. */
  async #recordLong(): Promise<void> {
    const started = [...this.#running.values()].filter(({ unrecorded }) => unrecorded);
    if (started.length === 0) return;
    await this.#options.runs.recordStarts(started.map(({ lease }) => lease));
    for (const running of started) running.unrecorded = false;
  }

  #offer(ended?: number): void {
    const { ahead } = this.#queue;
    this.#backlog.offer(this.#free(ahead), ahead, MAX_CLAIM, ended);
  }

  async #run(run: Waiting): Promise<void> {
    const { lease } = run;
    const running = this.#running.get(nameOf(lease))!;
    const startedAt = performance.now();
    let inSlot = true;
    const leaveSlot = () => {
      if (!inSlot) return;
      inSlot = false;
      this.#queue.leave(run, performance.now() - startedAt);
    };
    this.#heartbeat.start();
    const isOver = await this.#executor.execute(run, running, leaveSlot);
    if (isOver) this.#running.delete(nameOf(lease));
    leaveSlot();
    if (!isOver) this.#enqueue([{ ...run, isLarge: true }]);
    this.#loader.pump();
    if (isOver && isSuspect(lease)) this.#options.onFree();
    else this.#offer(lease.function);
  }
}

function leasesOf(waiting: readonly Waiting[]): Lease[] {
  return waiting.map(({ lease }) => lease);
}

function nameOf(lease: Lease): string {
  return `${lease.function}/${lease.token}/${lease.key}`;
}
