import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { failpoint } from '../failpoint.ts';
import type { FunctionDefinition, Log } from '../function.ts';
import type { Slots } from '../state/batcher.ts';
import type { Database } from '../state/database.ts';
import type { Served } from '../state/member.ts';
import type { Runs } from '../state/runs.ts';
import type { Lease } from '../state/store.ts';
import { contextOf, endFailed, runSpan, within } from '../spans.ts';
import { timeoutMs } from './attempt.ts';
import { Completer } from './completer.ts';
import { execute, insist, LeaseLost, ShutDown, type Handling, type Verdict } from './execute.ts';
import { Line, type Loaded } from './line.ts';
import { toBackoff } from './retry.ts';

export interface RunnerOptions {
  readonly database: Database;
  readonly runs: Runs;
  readonly functions: readonly {
    readonly definition: FunctionDefinition;
    readonly served: Served;
  }[];
  /** Handlers at a time. */
  readonly slots: number;
  readonly leaseSeconds: number;
  readonly log: Log;
  readonly onVerdict: (fn: string, verdict: Verdict, seconds: number, events: number) => void;
  /** A slot is free again, and there may be due runs that found none. */
  readonly onFree: () => void;
}

interface Running {
  readonly lease: Lease;
  readonly abort: AbortController;
}

/** Larger claims only make the first run wait for the rows of the last. */
const MAX_CLAIM = 256;

/**
 * Runs handlers of complete sets in a fixed number of slots, under leases: runs born leased by this
 * process' own batches, and due ones claimed from Postgres.
 */
export class Runner implements Slots {
  readonly #options: RunnerOptions;
  readonly #completer: Completer;
  readonly #functions: ReadonlyMap<number, Handling>;
  readonly #line: Line;
  /** Leased by this process, and not yet over: they are loaded, wait, are handled or marked. */
  readonly #running = new Map<string, Running>();
  #unknown = new Set<string>();
  #reserved = 0;
  #draining = false;
  #backlog = false;
  #offered = false;
  #renewedAt = 0;
  #pod = randomUUID() as string;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#completer = new Completer(options.runs);
    this.#line = new Line(options.slots, (run) => void this.#run(run));
    this.#functions = new Map(
      options.functions.map(({ definition, served }) => [
        served.id,
        {
          definition,
          served,
          backoff: toBackoff(definition.retry),
          limitMs: timeoutMs(definition),
        },
      ]),
    );
  }

  /** The name under which this process holds leases. */
  get pod(): string {
    return this.#pod;
  }

  /** Handlers at work. */
  get running(): number {
    return this.#line.busy;
  }

  /** What may still be leased: as many as there are slots, and so many more. */
  #free(ahead = 0): number {
    if (this.#draining) return 0;
    return Math.max(0, this.#options.slots + ahead - this.#running.size - this.#reserved);
  }

  async enrol(): Promise<void> {
    await this.#options.runs.enrol(this.#pod, hostname(), this.#options.leaseSeconds);
    this.#renewedAt = performance.now();
  }

  reserve(): number {
    return this.#reserve(this.#free());
  }

  start(leases: readonly Lease[], reserved: number): void {
    this.#reserved -= reserved;
    if (leases.length > 0) void this.#begin(leases);
    // runs of a function with a bound are never born leased: they are claimed as soon as a slot is back
    if (this.#backlog && this.#free() > 0) this.#options.onFree();
  }

  /** Says that runs were born which found no free slot here. */
  expectBacklog(): void {
    this.#backlog = true;
    if (this.#free() > 0) this.#options.onFree();
  }

  /** Claims due runs for free slots. */
  async claim(): Promise<void> {
    this.#backlog = false;
    let more = false;
    for (const { served } of this.#functions.values()) {
      const { concurrency } = served.specification;
      // leased ahead, runs of a function with a bound would keep those of other pods from running
      const ahead = concurrency === null ? this.#line.ahead : 0;
      const reserved = this.#reserve(Math.min(MAX_CLAIM, this.#free(ahead)));
      let leases: Lease[] = [];
      try {
        if (reserved > 0) leases = await this.#claimOf(served, reserved);
      } finally {
        if (leases.length > 0) failpoint('after-claim');
        this.start(leases, reserved);
      }
      // at its bound a function may have more that is due as soon as one run ends, and not before
      const bounded = concurrency !== null && leases.length > 0;
      more ||= leases.length === reserved && !bounded;
      this.#backlog ||= more || bounded;
    }
    if (more) this.#offer();
  }

  /**
   * Keeps the leases of this process and frees those of dead ones. A run that is no longer held here is
   * aborted; one that is held but unknown (the answer that granted it was lost) is started when it is
   * still so a renewal later.
   */
  async renew(): Promise<void> {
    const before = [...this.#running];
    const sentAt = performance.now();
    let held: Lease[] | null;
    try {
      held = await this.#options.runs.renew(this.#pod, this.#options.leaseSeconds);
    } catch (error) {
      if (performance.now() - this.#renewedAt > this.#options.leaseSeconds * 1000) this.#abortAll();
      throw error;
    }
    if (held === null) {
      this.#abortAll();
      this.#pod = randomUUID();
      await this.enrol();
      return;
    }
    this.#renewedAt = sentAt;
    const names = new Set(held.map(nameOf));
    for (const [name, running] of before) {
      if (!names.has(name)) running.abort.abort(new LeaseLost('the lease of this run was lost'));
    }
    const unknown = held.filter((lease) => !this.#running.has(nameOf(lease)));
    const orphans = unknown.filter((lease) => this.#unknown.has(nameOf(lease)));
    this.#unknown = new Set(unknown.map(nameOf));
    if (orphans.length > 0) void this.#begin(orphans);
    await this.#giveBack(this.#line.takeLate());
    await this.#options.runs.bury();
  }

  /** Takes no more runs, lets those under way end within the grace, gives the rest back. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    void this.#giveBack(this.#line.takeAll());
    const until = performance.now() + graceMs;
    while (this.#running.size > 0 && performance.now() < until) await sleep(10);
    for (const { abort } of this.#running.values()) abort.abort(new ShutDown('the process stops'));
    const hurry = performance.now() + 2_000;
    while (this.#running.size > 0 && performance.now() < hurry) await sleep(10);
  }

  /** Gives up this process' lease, when it neither renews it nor sends anything any more. */
  async resign(): Promise<void> {
    await this.#options.runs.resign(this.#pod).catch(() => {}); // it ends by itself
  }

  #abortAll(): void {
    for (const { abort } of this.#running.values()) {
      abort.abort(new LeaseLost('the leases of this process could not be renewed in time'));
    }
  }

  async #claimOf(served: Served, limit: number): Promise<Lease[]> {
    const { runs } = this.#options;
    const bound = served.specification.concurrency;
    return bound === null
      ? runs.claim(served.id, this.#pod, limit)
      : runs.claimBounded(served.id, this.#pod, limit, bound);
  }

  #reserve(slots: number): number {
    this.#reserved += slots;
    return slots;
  }

  async #begin(leases: readonly Lease[]): Promise<void> {
    const fresh = leases.filter((lease) => !this.#running.has(nameOf(lease)));
    for (const lease of fresh)
      this.#running.set(nameOf(lease), { lease, abort: new AbortController() });
    const { runs, log } = this.#options;
    const sets = await insist(() => runs.loadMembers(fresh), log);
    const loaded = fresh.map((lease, i) => ({ lease, members: sets[i]! }));
    if (this.#draining) await this.#giveBack(loaded);
    else this.#line.add(loaded);
  }

  /** Runs that were not begun; if the database does not hear of it, the renewals find them. */
  async #giveBack(loaded: readonly Loaded[]): Promise<void> {
    if (loaded.length === 0) return;
    const leases = loaded.map((each) => each.lease);
    await this.#options.runs.release(leases).catch(() => {});
    for (const lease of leases) this.#running.delete(nameOf(lease));
  }

  /** As soon as a slot is free, or half of what is leased ahead: a claim for one costs as much as one for many. */
  #offer(): void {
    const { ahead } = this.#line;
    const worth = Math.min(MAX_CLAIM, Math.max(1, ahead / 2));
    if (this.#offered || !this.#backlog || this.#free(ahead) < worth) return;
    this.#offered = true;
    // One turn of the event loop lets handlers that end together share a claim.
    setImmediate(() => {
      this.#offered = false;
      this.#options.onFree();
    });
  }

  async #run({ lease, members }: Loaded): Promise<void> {
    const handling = this.#functions.get(lease.function)!;
    const { abort } = this.#running.get(nameOf(lease))!;
    const startedAt = performance.now();
    let inSlot = true;
    const leaveSlot = () => {
      if (!inSlot) return;
      inSlot = false;
      this.#line.leave(performance.now() - startedAt);
    };
    const span = runSpan(handling.definition.name, lease, members);
    const { verdict, events, failure } = await within(span, () =>
      execute({
        ...this.#options,
        ...handling,
        completer: this.#completer,
        lease,
        members,
        abort,
        leaveSlot,
        trace: contextOf(span),
      }),
    );
    span?.setAttributes({ 'muster.verdict': verdict, 'muster.events': events });
    if (failure === null) span?.end();
    else endFailed(span, failure);
    const seconds = (performance.now() - startedAt) / 1000;
    this.#options.onVerdict(handling.definition.name, verdict, seconds, events);
    this.#running.delete(nameOf(lease));
    leaveSlot();
    this.#offer();
  }
}

function nameOf(lease: Lease): string {
  return `${lease.function}/${lease.token}/${lease.key}`;
}
