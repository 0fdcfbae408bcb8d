import { randomUUID } from 'node:crypto';
import type { SpanContext } from '@opentelemetry/api';
import type pg from 'pg';
import { toBytea } from '../../telemetry/trace.ts';
import type { Database } from '../database/database.ts';
import { PLANS, transaction } from '../database/database.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import { sql } from '../sql.ts';
import { toLease, type Lease, type LeaseTuple } from '../lease.ts';

/** An event of a run, as it is stored in the outbox. */
export interface OutboxEvent {
  readonly eventId: string;
  readonly type: string;
  readonly subject: string;
  /** JSON text */
  readonly data: string | null;
}

/** A run whose handler has returned. */
export interface FinishedRun {
  readonly lease: Lease;
  readonly events: readonly OutboxEvent[];
  /** Trace context of the run, if it is sampled. */
  readonly trace?: SpanContext | null;
}

const CLAIM_RUNS = sql('claim-runs');
const END_CLAIMS = sql('end-claims');
const COUNT_RUNNING = sql('count-running');
const FINISH_RUNS = sql('finish-runs');
const FINISH_RUN = sql('finish-run');
const SEND_EVENTS = sql('send-events');
const FAIL_RUN = sql('fail-run');
const RELEASE_RUNS = sql('release-runs');
const RECORD_STARTS = sql('record-starts');
const RENEW_LEASE = sql('renew-lease');
const REAP_WORKERS = sql('reap-workers');

/** Pins plans for the rest of the transaction. */
export const PIN_PLANS: pg.QueryConfig = {
  text: `select ${Object.entries(PLANS)
    .map(([name, value]) => `pg_catalog.set_config('${name}', '${value}', true)`)
    .join(', ')}`,
};

const MAX_INT = 2 ** 31 - 1;

export interface ClaimOptions {
  /** Handlers that can start at once; runs that are leased beyond them are prefetched. */
  readonly slots: number;
  /** Maximum number of attempts of the function. */
  readonly attempts: number;
  /** Whether one of the runs may be one that was lost with its process more than once. */
  readonly suspect: boolean;
}

const EVERY: ClaimOptions = { slots: MAX_INT, attempts: MAX_INT, suspect: true };

/** Runs performs the state transitions of runs after their creation, each with one statement. */
export class Runs {
  readonly #database: Database;
  readonly #registrationOf: ReadonlyMap<number, string>;

  /** `served` are the functions whose runs this process may claim. */
  constructor(database: Database, served: readonly RegisteredFunction[]) {
    this.#database = database;
    this.#registrationOf = new Map(served.map(({ id, registration }) => [id, registration]));
  }

  /** Leases due runs of a function, oldest first; none if another definition of it is registered. */
  async claim(functionId: number, worker: string, limit: number, claim = EVERY): Promise<Lease[]> {
    return untilFound(() =>
      this.#claimBy(this.#database.control, functionId, worker, limit, claim),
    );
  }

  /** Leases due runs of a function with a concurrency limit over all workers; counts running ones under a lock. */
  async claimLimited(
    functionId: number,
    worker: string,
    limit: number,
    concurrency: number,
    claim = EVERY,
  ): Promise<Lease[]> {
    const one = () =>
      transaction(this.#database.control, async (client) => {
        await client.query('select from muster.function where id = $1 for no key update', [
          functionId,
        ]);
        const { rows } = await client.query<{ running: number }>({
          ...COUNT_RUNNING,
          values: [functionId],
        });
        const free = Math.min(limit, concurrency - rows[0]!.running);
        if (free <= 0) return NOTHING_CLAIMED;
        return this.#claimBy(client, functionId, worker, free, claim);
      });
    return untilFound(one);
  }

  async #claimBy(
    on: Pick<pg.Pool, 'query'> | pg.PoolClient,
    functionId: number,
    worker: string,
    limit: number,
    { slots, attempts, suspect }: ClaimOptions,
  ): Promise<Claimed> {
    const claim = randomUUID();
    const values = [
      functionId,
      worker,
      limit,
      Math.min(slots, MAX_INT),
      Math.min(attempts, MAX_INT),
      suspect,
      this.#registrationOf.get(functionId),
      claim,
    ];
    const { rows } = await (on as pg.Pool).query<ClaimedRow>({ ...CLAIM_RUNS, values });
    const found = rows.filter((row) => row.key !== null);
    return { leases: found.map((row) => fromRow(row, claim)), dropped: rows[0]!.dropped };
  }

  /** Deletes leases whose runs have all ended. */
  async endClaims(claims: readonly string[]): Promise<void> {
    await this.#database.control.query({ ...END_CLAIMS, values: [claims] });
  }

  /** Records that these handlers start, so that their attempts count; returns the leases still held. */
  async recordStarts(leases: readonly Lease[]): Promise<Set<Lease>> {
    const { rows } = await this.#database.control.query<{ n: number }>({
      ...RECORD_STARTS,
      values: [leases.map((each) => each.claim), ...names(leases)],
    });
    return new Set(rows.map(({ n }) => leases[n - 1]!));
  }

  /** Marks runs done and puts their events into the outbox; returns those that this worker still held. */
  async finish(runs: readonly FinishedRun[]): Promise<Set<FinishedRun>> {
    const result = await this.#database.control.query<{ n: number }>(finishingAll(runs, false));
    return new Set(result.rows.map((row) => runs[row.n - 1]!));
  }

  /** Fails a run, to be retried after `waitMs` or never (null); false if this worker no longer held it. */
  async fail(
    lease: Lease,
    error: string,
    waitMs: number | null,
    trace: SpanContext | null = null,
  ): Promise<boolean> {
    const result = await this.#database.control.query({
      ...FAIL_RUN,
      values: [
        lease.function,
        lease.keyHash,
        lease.token,
        waitMs,
        error.replaceAll('\0', '\\0').slice(0, 2000),
        trace && toBytea(trace),
        lease.attempt,
        lease.late,
        lease.since,
      ],
    });
    return result.rowCount === 1;
  }

  /**
   * Releases runs, which are due again after `waitMs`; no attempt is counted. With `isAlone`, each of them runs
   * alone from then on, not in a batch.
   */
  async release(leases: readonly Lease[], waitMs = 0, isAlone = false): Promise<void> {
    const values = [...names(leases), waitMs, isAlone];
    await this.#database.control.query({ ...RELEASE_RUNS, values });
  }

  /**
   * Whether this lease completed its run, for a COMMIT whose answer was lost. Waits for the row's lock, because
   * the server may still be about to execute that COMMIT.
   */
  async isDone(lease: Lease): Promise<boolean> {
    const { rows } = await this.#database.control.query<{ done: boolean }>(
      `select state is not distinct from 'done' and token = $3 as done from muster.sets
       where function = $1 and key_hash = $2 for share`,
      [lease.function, lease.keyHash, lease.token],
    );
    return rows[0]?.done ?? false;
  }

  async register(worker: string, host: string, leaseSeconds: number): Promise<void> {
    await this.#database.control.query(
      'insert into muster.worker (id, host, lease_until, serves) values ($1, $2, now() + make_interval(secs => $3::float8), $4)',
      [worker, host, leaseSeconds, Object.fromEntries(this.#registrationOf)],
    );
  }

  async deregister(worker: string): Promise<void> {
    await this.#database.control.query('delete from muster.worker where id = $1', [worker]);
  }

  /** Renews the worker's lease; returns the leases of its runs, or null if the worker was reaped. */
  async renew(worker: string, leaseSeconds: number): Promise<Lease[] | null> {
    const { rows } = await this.#database.control.query<{ leases: LeaseTuple[] }>({
      ...RENEW_LEASE,
      values: [worker, leaseSeconds],
    });
    return rows[0]?.leases.map(toLease) ?? null;
  }

  /** Releases the runs of workers whose lease has expired; returns their number. */
  async reapExpired(): Promise<number> {
    const result = await this.#database.control.query({ ...REAP_WORKERS, values: [] });
    return result.rowCount ?? 0;
  }
}

/**
 * Returns the last statements of a handler's transaction, which mark its runs done. The very last one fails
 * with SQLSTATE MU001 if this worker no longer holds one of them.
 */
export function finishing(runs: readonly FinishedRun[]): pg.QueryConfig[] {
  // The statement for several is planned as on our own connections: in the order of the locks, and without a scan.
  return runs.length === 1 ? finishingOne(runs[0]!) : [PIN_PLANS, finishingAll(runs, true)];
}

function finishingOne(run: FinishedRun): pg.QueryConfig[] {
  const { lease, events } = run;
  const { function: fn, key, keyHash, token, attempt, late, since } = lease;
  const finish = { ...FINISH_RUN, values: [fn, keyHash, token, attempt, late, since] };
  if (events.length === 0) return [finish];
  const columns = [
    events.map((event) => event.eventId),
    events.map((event) => event.type),
    events.map((event) => event.subject),
    events.map((event) => event.data),
  ];
  const send = { ...SEND_EVENTS, values: [fn, key, ...columns, byteaOf(run)] };
  return [send, finish];
}

function finishingAll(runs: readonly FinishedRun[], isTogether: boolean): pg.QueryConfig {
  const events = runs.flatMap((run, i) =>
    run.events.map((event) => ({ ...event, n: i + 1, trace: byteaOf(run) })),
  );
  return {
    ...FINISH_RUNS,
    values: [
      ...names(runs.map((run) => run.lease)),
      runs.map((run) => run.lease.attempt),
      runs.map((run) => run.lease.late),
      runs.map((run) => run.lease.since),
      events.map((event) => event.n),
      events.map((event) => event.eventId),
      events.map((event) => event.type),
      events.map((event) => event.subject),
      events.map((event) => event.data),
      events.map((event) => event.trace),
      isTogether,
    ],
  };
}

function byteaOf({ trace }: FinishedRun): string | null {
  return trace ? toBytea(trace) : null;
}

interface Claimed {
  readonly leases: Lease[];
  /** Number of rows of the queue that were dropped. */
  readonly dropped: number;
}

const NOTHING_CLAIMED: Claimed = { leases: [], dropped: 0 };

/** Repeats a claim that only dropped rows (stale, or of incomplete sets): there may be others behind them. */
async function untilFound(claim: () => Promise<Claimed>): Promise<Lease[]> {
  for (;;) {
    const { leases, dropped } = await claim();
    if (leases.length > 0 || dropped === 0) return leases;
  }
}

interface ClaimedRow extends Omit<Lease, 'key' | 'token' | 'claim'> {
  /** Number of rows of the queue that were dropped. */
  readonly dropped: number;
  /** Null if none of them was leased. */
  readonly key: string | null;
  readonly token: string;
}

function fromRow(row: ClaimedRow, claim: string): Lease {
  const { function: fn, key, keyHash, revision, token, attempt, lost, late, since } = row;
  const named = { function: fn, key: key!, keyHash, revision, token: Number(token) };
  return { ...named, attempt, lost, late, since, claim };
}

function names(leases: readonly Lease[]): [number[], string[], number[]] {
  return [
    leases.map((each) => each.function),
    leases.map((each) => each.keyHash),
    leases.map((each) => each.token),
  ];
}
