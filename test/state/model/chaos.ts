/** Processes that claim runs, commit, fail, die and wake up too late, while events are ingested. */
import { randomUUID } from 'node:crypto';
import type { Random } from '../../../dev/lib/random.ts';
import type { FunctionDefinition } from '../../../src/function.ts';
import { HandlerTx } from '../../../src/state/database/handler-tx.ts';
import { purge } from '../../../src/state/purge.ts';
import { retryFailed } from '../../../src/state/runs/retry.ts';
import { finishing } from '../../../src/state/runs/runs.ts';
import type { Lease } from '../../../src/state/lease.ts';
import type { Pod } from '../../support/pod.ts';

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
  /** Leases of processes that died, each with its pod. */
  readonly #ghosts: [Pod, Lease][] = [];

  constructor(random: Random, tally: Tally, purged: readonly FunctionDefinition[]) {
    this.#random = random;
    this.#tally = tally;
    this.#purged = purged;
  }

  /** One action of a process. */
  async act(pod: Pod): Promise<void> {
    if (this.#purged.length > 0 && this.#random.chance(0.2)) return this.purge(pod);
    const [lease] = pod.leases.splice(0, 1);
    switch (this.#random.between(1, 8)) {
      case 1:
        return this.#claim(pod, this.#random.between(1, 3));
      case 2:
        return this.#die(pod, lease);
      case 3:
        return this.#wake();
      case 4:
        if (lease !== undefined) {
          await pod.runs.fail(lease, 'chaos', this.#random.chance(0.3) ? null : 0);
          this.#tally.failed++;
        }
        return;
      case 5:
        if (lease !== undefined) {
          await pod.runs.release([lease]);
          this.#tally.released++;
        }
        return;
      default:
        if (lease !== undefined) await this.#commit(pod, lease);
        else await this.#claim(pod, 1);
    }
  }

  /** Runs everything that is due, including failed runs and those of dead processes. */
  async settle(pods: readonly Pod[]): Promise<void> {
    const [pod] = pods as [Pod];
    for (const each of pods) await this.#die(each, undefined);
    while (this.#ghosts.length > 0) await this.#wake();
    for (const { id } of pod.served) await retryFailed(pod.database, id, null);
    for (;;) {
      await this.#claim(pod, 100);
      if (pod.leases.length === 0) return;
      // nothing is ingested any more, so a due run must be complete
      const { rows } = await pod.database.control.query(
        `select key from muster.run where state = 'running' and not complete`,
      );
      if (rows.length > 0) throw new Error(`claimed, though broken: ${JSON.stringify(rows)}`);
      for (const lease of pod.leases.splice(0)) await this.#commit(pod, lease);
    }
  }

  async purge(pod: Pod): Promise<void> {
    const functions = this.#purged.map((definition, i) => ({
      definition: { ...definition, keepFor: '0 seconds' as const },
      served: pod.served[i]!,
    }));
    this.#tally.purged += (
      await purge(pod.database, functions, { tombstoneSeconds: 86_400 })
    ).members;
  }

  async #claim(pod: Pod, limit: number): Promise<void> {
    for (const { id, specification } of pod.served) {
      const bound = specification.concurrency;
      if (bound === null) {
        pod.leases.push(...(await pod.runs.claim(id, pod.id, limit)));
        continue;
      }
      pod.leases.push(...(await pod.runs.claimLimited(id, pod.id, limit, bound)));
      const { rows } = await pod.database.control.query<{ n: number }>(
        `select count(*)::int as n from muster.run where function = $1 and state = 'running'`,
        [id],
      );
      this.#tally.mostBounded = Math.max(this.#tally.mostBounded, rows[0]!.n);
    }
  }

  /** The process dies, and another one takes its place; the runs it held may still try to commit. */
  async #die(pod: Pod, lease: Lease | undefined): Promise<void> {
    const dead = pod.id;
    pod.id = randomUUID();
    await pod.runs.register(pod.id, 'chaos', 600);
    await pod.runs.deregister(dead);
    const leases = [...(lease === undefined ? [] : [lease]), ...pod.leases.splice(0)];
    this.#ghosts.push(...leases.map((each): [Pod, Lease] => [pod, each]));
    this.#tally.reaped += await pod.runs.reapExpired();
    // runs that were lost before would wait for a while; this never waits for locks, so it needs no order
    await pod.database.control.query(
      `with resting as (select function, key from muster.run where state = 'ready' for update skip locked)
       update muster.run r set due_at = now() from resting
       where r.function = resting.function and r.key = resting.key`,
    );
  }

  async #wake(): Promise<void> {
    const ghost = this.#ghosts.splice(this.#random.between(0, this.#ghosts.length), 1)[0];
    if (ghost !== undefined) await this.#commit(...ghost);
  }

  /** A handler that writes one row, and marks its run done in the same transaction. */
  async #commit(pod: Pod, lease: Lease): Promise<void> {
    const tx = new HandlerTx(pod.database);
    await tx.query('insert into effect (function, key, revision, token) values ($1, $2, $3, $4)', [
      lease.function,
      lease.key,
      lease.revision,
      lease.token,
    ]);
    const run = { lease, events: [] };
    const held = await tx.commit(finishing(run));
    this.#tally[held ? 'committed' : 'fenced']++;
  }
}
