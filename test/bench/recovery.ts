/**
 * Recovery: `muster serve` is killed by SIGKILL while it runs handlers. Measures how long it takes until
 * each of those runs has started again in another process, with a pod's default settings.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { fillSets } from './filled.ts';
import { endPod, layOut, STARTED, startPod, type Pod } from './pod.ts';
import {
  atMost,
  createDatabase,
  grid,
  medianOf,
  same,
  type SectionContext,
  type SectionResult,
} from './section.ts';

/** The default concurrency of a pod. */
const RUNS = 16;

interface Kill {
  /** From the kill to the start of the first and of the last of its runs elsewhere, in seconds. */
  readonly first: number;
  readonly last: number;
}

export async function measureRecovery(context: SectionContext): Promise<SectionResult> {
  const { postgres, folder, quick, say } = context;
  const rounds = quick ? 1 : 3;
  const db = await createDatabase(postgres, 'recovery');
  await db.client.query(STARTED);
  const home = join(folder, 'recovery');
  layOut(home);
  const pods: Pod[] = [];
  const serve = async (handlerMs: number, leaseSeconds: number | null) => {
    const lease = leaseSeconds === null ? {} : { LEASE_SECONDS: String(leaseSeconds) };
    const pod = await startPod(home, db.url, { HANDLER_MS: String(handlerMs), ...lease });
    pods.push(pod);
    return pod;
  };
  const kills: Kill[] = [];
  try {
    const lease = quick ? 1 : null;
    for (let round = 0; round < rounds; round++) {
      const dying = await serve(600_000, lease);
      await fillSets(db.client, { from: round * RUNS, sets: RUNS, rowsPerSet: 2, state: 'ready' });
      await until(db.client, 1, RUNS * (round + 1));
      const other = await serve(0, lease);
      // at a random point of the lease, not right after it was renewed
      await sleep(quick ? 100 : 1_000 + 1_300 * round);
      const { rows } = await db.client.query<{ now: Date }>('select clock_timestamp() as now');
      await endPod(dying, 'SIGKILL');
      await until(db.client, 2, RUNS * (round + 1));
      kills.push(await timesOf(db.client, round, rows[0]!.now, other.child.pid!));
      await endPod(other, 'SIGTERM');
    }
    const { rows } = await db.client.query(
      `select count(*)::int as done from muster.run where state = 'done' and attempt = 2`,
    );
    same('recovery, runs done by their second attempt', rows[0].done, RUNS * rounds);
  } finally {
    for (const pod of pods) await endPod(pod, 'SIGKILL');
    rmSync(home, { recursive: true, force: true });
    await db.drop();
  }
  const rows = kills.map(({ first, last }, i) => [
    `kill ${i + 1}`,
    first.toFixed(2),
    last.toFixed(2),
  ]);
  const title = `Recovery: kill -9 of a process with ${RUNS} runs in flight, to their start in another${quick ? ' (LEASE_SECONDS=1)' : ''}`;
  say(grid(title, ['seconds until', 'first run', 'last run'], rows));
  const worst = Math.max(...kills.map(({ last }) => last));
  const median = medianOf(kills.map(({ last }) => last));
  const verdict = atMost(
    `recovery after kill -9 in seconds, worst (median ${median.toFixed(1)})`,
    worst,
    15,
  );
  return { data: kills, verdicts: [verdict] };
}

/** Waits until this number of runs has started that attempt. */
async function until(client: pg.Client, attempt: number, count: number): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const { rows } = await client.query<{ n: number }>(
      'select count(distinct key)::int as n from started where attempt = $1',
      [attempt],
    );
    if (rows[0]!.n >= count) return;
    if (performance.now() > deadline) {
      throw new Error(`recovery: ${rows[0]!.n} of ${count} runs have started attempt ${attempt}`);
    }
    await sleep(20);
  }
}

async function timesOf(client: pg.Client, round: number, killed: Date, pid: number): Promise<Kill> {
  const { rows } = await client.query<{ n: number; first: number; last: number }>(
    `select count(*)::int as n, extract(epoch from min(at) - $1)::float8 as first,
            extract(epoch from max(at) - $1)::float8 as last
     from started where attempt = 2 and pid = $2 and at > $1`,
    [killed, pid],
  );
  same(`recovery, runs of kill ${round + 1} started elsewhere`, rows[0]!.n, RUNS);
  return rows[0]!;
}
