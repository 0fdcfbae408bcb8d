import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { failpoint } from '../failpoint.ts';
import { type FunctionDefinition, type Log, TerminalError } from '../function.ts';
import type { Slots } from '../state/batcher.ts';
import { isBadValue, type Database } from '../state/database.ts';
import { HandlerTx } from '../state/handler-tx.ts';
import type { Served } from '../state/member.ts';
import type { OutboxEvent, Runs, StoredMember } from '../state/runs.ts';
import type { Lease } from '../state/store.ts';
import { attempt, runIdOf, timeoutMs } from './attempt.ts';
import { Completer } from './completer.ts';
import { toBackoff, waitAfter, type Backoff } from './retry.ts';

/** Another pod may hold the run by now: stop, nothing of it will be committed. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** The process was told to stop: the run goes back, without an attempt counted. */
class ShutDown extends Error {}

/** What became of an attempt, for metrics and logs. */
export type Verdict = 'done' | 'failed' | 'again' | 'released' | 'fenced';

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

interface Handling {
  readonly definition: FunctionDefinition;
  readonly served: Served;
  readonly backoff: Backoff;
  readonly limitMs: number;
}

interface Running {
  readonly lease: Lease;
  readonly abort: AbortController;
}

/**
 * Runs handlers of complete sets in a fixed number of slots, under leases: runs born leased by this
 * process' own batches, and due ones claimed from Postgres.
 */
export class Runner implements Slots {
  readonly #options: RunnerOptions;
  readonly #completer: Completer;
  readonly #handling: ReadonlyMap<number, Handling>;
  readonly #running = new Map<string, Running>();
  #unknown = new Set<string>();
  #reserved = 0;
  #draining = false;
  #backlog = false;
  #renewedAt = 0;
  #pod = randomUUID() as string;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#completer = new Completer(options.runs);
    this.#handling = new Map(
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

  get running(): number {
    return this.#running.size;
  }

  get #free(): number {
    return this.#draining
      ? 0
      : Math.max(0, this.#options.slots - this.#running.size - this.#reserved);
  }

  async enrol(): Promise<void> {
    await this.#options.runs.enrol(this.#pod, hostname(), this.#options.leaseSeconds);
    this.#renewedAt = performance.now();
  }

  reserve(): number {
    const free = this.#free;
    this.#reserved += free;
    return free;
  }

  start(leases: readonly Lease[], reserved: number): void {
    this.#reserved -= reserved;
    if (leases.length > 0) void this.#begin(leases);
  }

  /** Says that runs were born which found no free slot here. */
  expectBacklog(): void {
    this.#backlog = true;
    if (this.#free > 0) this.#options.onFree();
  }

  /** Claims due runs for free slots. */
  async claim(): Promise<void> {
    this.#backlog = false;
    for (const { served } of this.#handling.values()) {
      const reserved = this.reserve();
      let leases: Lease[] = [];
      try {
        if (reserved > 0) leases = await this.#claimOf(served, reserved);
      } finally {
        if (leases.length > 0) failpoint('after-claim');
        this.start(leases, reserved);
      }
      this.#backlog ||= leases.length === reserved;
    }
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
    await this.#options.runs.bury();
  }

  /** Takes no more runs, lets those under way end within the grace, gives the rest back. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    const until = performance.now() + graceMs;
    while (this.#running.size > 0 && performance.now() < until) await sleep(10);
    for (const { abort } of this.#running.values()) abort.abort(new ShutDown('the process stops'));
    const hurry = performance.now() + 2_000;
    while (this.#running.size > 0 && performance.now() < hurry) await sleep(10);
    await this.#options.runs.resign(this.#pod).catch(() => {}); // its lease ends by itself
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

  async #begin(leases: readonly Lease[]): Promise<void> {
    const fresh = leases.filter((lease) => !this.#running.has(nameOf(lease)));
    for (const lease of fresh)
      this.#running.set(nameOf(lease), { lease, abort: new AbortController() });
    const members = await this.#insist(() => this.#options.runs.loadMembers(fresh));
    const bySet = Map.groupBy(members, (member) => `${member.function}/${member.key}`);
    for (const lease of fresh) {
      void this.#run(lease, bySet.get(`${lease.function}/${lease.key}`) ?? []).finally(() => {
        this.#running.delete(nameOf(lease));
        if (this.#backlog) this.#options.onFree();
      });
    }
  }

  async #run(lease: Lease, members: readonly StoredMember[]): Promise<void> {
    const { definition, served, backoff, limitMs } = this.#handling.get(lease.function)!;
    const { abort } = this.#running.get(nameOf(lease))!;
    const startedAt = performance.now();
    const log = withFields(this.#options.log, {
      function: definition.name,
      key: lease.key,
      runId: runIdOf(definition.name, lease),
    });
    const report = (verdict: Verdict, events = 0) =>
      this.#options.onVerdict(
        definition.name,
        verdict,
        (performance.now() - startedAt) / 1000,
        events,
      );
    const tx = new HandlerTx(this.#options.database);
    try {
      if (this.#draining) throw new ShutDown('the process stops');
      if (lease.attempt > backoff.attempts)
        throw new TerminalError(
          `given up after ${backoff.attempts} attempts that ended with their process`,
        );
      const events = await attempt({
        definition,
        served,
        lease,
        members,
        tx,
        timeoutMs: limitMs,
        signal: abort.signal,
        log,
      });
      failpoint('before-done');
      const held = await this.#conclude(lease, events, tx);
      if (!held)
        log.warn({}, 'another pod took this run over; nothing of this attempt was committed');
      report(held ? 'done' : 'fenced', held ? events.length : 0);
    } catch (error) {
      await tx.abandon();
      if (error instanceof LeaseLost) {
        report('fenced');
      } else if (error instanceof ShutDown) {
        await this.#options.runs.release([lease]).catch(() => {}); // else freed when this pod's lease ends
        report('released');
      } else {
        const waitMs = error instanceof TerminalError ? null : waitAfter(lease.attempt, backoff);
        await this.#insist(() => this.#options.runs.fail(lease, describe(error), waitMs));
        log.warn(
          { attempt: lease.attempt, waitMs, error: describe(error) },
          waitMs === null ? 'run failed for good' : 'attempt failed',
        );
        report(waitMs === null ? 'failed' : 'again');
      }
    }
  }

  /** Commits the handler's writes, events and the done-mark together; false if the run is no longer held. */
  async #conclude(lease: Lease, events: readonly OutboxEvent[], tx: HandlerTx): Promise<boolean> {
    const { runs } = this.#options;
    const finished = { lease, events };
    if (tx.isOpen) {
      try {
        return await tx.commit(async (client) =>
          (await runs.finish([finished], client)).has(finished),
        );
      } catch (error) {
        // The answer to COMMIT may be what was lost.
        if (await this.#insist(() => runs.isDone(lease))) return true;
        throw error;
      }
    }
    let doubtful = false;
    return this.#insist(async () => {
      try {
        if (await this.#completer.finish(finished)) return true;
        return doubtful && (await runs.isDone(lease));
      } catch (error) {
        doubtful = true;
        throw error;
      }
    });
  }

  /** Tries until the database answers: the run stays leased meanwhile, as long as this process lives. */
  async #insist<T>(work: () => Promise<T>): Promise<T> {
    for (let wait = 100; ; wait = Math.min(wait * 2, 2_000)) {
      try {
        return await work();
      } catch (error) {
        if (isBadValue(error)) throw error;
        this.#options.log.warn(
          { error: describe(error) },
          'the database does not answer; trying again',
        );
        await sleep(wait);
      }
    }
  }
}

function nameOf(lease: Lease): string {
  return `${lease.function}/${lease.token}/${lease.key}`;
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function withFields(log: Log, fields: object): Log {
  return {
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}
