/** Processes that claim runs, commit, fail, die and wake up too late, while events are ingested. */
import { randomUUID } from 'node:crypto';
import type { Random } from '../../../dev/lib/random.ts';
import type { FunctionDefinition } from '../../../src/function.ts';
import { HandlerTx } from '../../../src/state/database/handler-tx.ts';
import { purge } from '../../../src/state/purge.ts';
import { retryFailed } from '../../../src/state/runs/retry-sets.ts';
import { finishing } from '../../../src/state/runs/runs.ts';
import type { Lease } from '../../../src/state/lease.ts';
import type { TestWorker } from '../../support/worker.ts';

/** Counts what happened: a test in which nothing happens proves nothing. */
export interface Tally {
  committed: number;
  /** commits refused because the run was no longer leased */
  fenced: number;
  failed: number;
  released: number;
  reaped: number;
  /** maximum number of concurrent runs of functions with a limit */
  mostBounded: number;
  /** rows removed by concurrent purges */
  purged: number;
}

export const nothingYet = (): Tally => ({
  committed: 0,
  fenced: 0,
  failed: 0,
  released: 0,
  reaped: 0,
  mostBounded: 0,
  purged: 0,
});

export class Chaos {
  readonly #random: Random;
  readonly #tally: Tally;
  /** Functions that are purged at any time, as soon as their sets are done. */
  readonly #purged: readonly FunctionDefinition[];
  /** Leases of processes that died, each with its worker. */
  readonly #ghosts: [TestWorker, Lease][] = [];

  constructor(random: Random, tally: Tally, purged: readonly FunctionDefinition[]) {
    this.#random = random;
    this.#tally = tally;
    this.#purged = purged;
  }

  /** One action of a process. */
  async act(worker: TestWorker): Promise<void> {
    if (this.#purged.length > 0 && this.#random.chance(0.2)) return this.purge(worker);
    const [lease] = worker.leases.splice(0, 1);
    switch (this.#random.between(1, 8)) {
      case 1:
        return this.#claim(worker, this.#random.between(1, 3));
      case 2:
        return this.#die(worker, lease);
      case 3:
        return this.#wake();
      case 4:
        if (lease !== undefined) {
          await worker.runs.fail(lease, 'chaos', this.#random.chance(0.3) ? null : 0);
          this.#tally.failed++;
        }
        return;
      case 5:
        if (lease !== undefined) {
          await worker.runs.release([lease]);
          this.#tally.released++;
        }
        return;
      default:
        if (lease !== undefined) {
          const others = this.#random.chance(0.3) ? worker.leases.splice(0) : [];
          await this.#commit(worker, lease, ...others);
        } else await this.#claim(worker, 1);
    }
  }

  /** Runs everything that is due, including failed runs and those of dead processes. */
  async settle(workers: readonly TestWorker[]): Promise<void> {
    const [worker] = workers as [TestWorker];
    for (const each of workers) await this.#die(each, undefined);
    while (this.#ghosts.length > 0) await this.#wake();
    for (const { id } of worker.served) await retryFailed(worker.database, id, null);
    for (;;) {
      await this.#claim(worker, 100);
      if (worker.leases.length === 0) return;
      // nothing is ingested any more, so a due run must be complete
      const { rows } = await worker.database.control.query(
        `select key from muster.run where state = 'running' and not complete`,
      );
      if (rows.length > 0) throw new Error(`claimed, though broken: ${JSON.stringify(rows)}`);
      for (const lease of worker.leases.splice(0)) await this.#commit(worker, lease);
    }
  }

  async purge(worker: TestWorker): Promise<void> {
    const functions = this.#purged.map((definition, i) => ({
      definition: { ...definition, keepFor: '0 seconds' as const },
      served: worker.served[i]!,
    }));
    this.#tally.purged += (
      await purge(worker.database, functions, { tombstoneSeconds: 86_400 })
    ).members;
  }

  async #claim(worker: TestWorker, limit: number): Promise<void> {
    for (const { id, specification } of worker.served) {
      const bound = specification.concurrency;
      if (bound === null) {
        worker.leases.push(...(await worker.runs.claim(id, worker.id, limit)));
        continue;
      }
      worker.leases.push(...(await worker.runs.claimLimited(id, worker.id, limit, bound)));
      const { rows } = await worker.database.control.query<{ n: number }>(
        `select count(*)::int as n from muster.run where function = $1 and state = 'running'`,
        [id],
      );
      this.#tally.mostBounded = Math.max(this.#tally.mostBounded, rows[0]!.n);
    }
  }

  /** The process dies, and another one takes its place; the runs it held may still try to commit. */
  async #die(worker: TestWorker, lease: Lease | undefined): Promise<void> {
    const dead = worker.id;
    worker.id = randomUUID();
    await worker.runs.register(worker.id, 'chaos', 600);
    await worker.runs.deregister(dead);
    const leases = [...(lease === undefined ? [] : [lease]), ...worker.leases.splice(0)];
    this.#ghosts.push(...leases.map((each): [TestWorker, Lease] => [worker, each]));
    this.#tally.reaped += await worker.runs.reapExpired();
    // runs that were lost before would wait for a while; this never waits for locks, so it needs no order
    await worker.database.control.query(
      `with resting as (
         select s.function, s.key_hash, s.due_at from muster.sets s
         join muster.queue q on q.function = s.function and q.due_at = s.due_at and q.key_hash = s.key_hash and q.token = s.token
         where s.state = 'pending' for update of s, q skip locked
       ), moved as (
         update muster.queue q set due_at = now() from resting
         where q.function = resting.function and q.due_at = resting.due_at and q.key_hash = resting.key_hash
       )
       update muster.sets s set due_at = now() from resting
       where s.function = resting.function and s.key_hash = resting.key_hash`,
    );
  }

  async #wake(): Promise<void> {
    const ghost = this.#ghosts.splice(this.#random.between(0, this.#ghosts.length), 1)[0];
    if (ghost !== undefined) await this.#commit(...ghost);
  }

  /**
   * A handler that writes one row for each of these runs, and marks them done in the same transaction; one by one
   * if one of them was lost.
   */
  async #commit(worker: TestWorker, ...leases: Lease[]): Promise<void> {
    const tx = new HandlerTx(worker.database);
    for (const { function: fn, key, revision, token } of leases) {
      const values = [fn, key, revision, token];
      await tx.query(
        'insert into effect (function, key, revision, token) values ($1, $2, $3, $4)',
        values,
      );
    }
    const held = await tx.commit(finishing(leases.map((lease) => ({ lease, events: [] }))));
    this.#tally[held ? 'committed' : 'fenced'] += leases.length;
    if (!held && leases.length > 1) for (const lease of leases) await this.#commit(worker, lease);
  }
}
