/**
 * Four processes change the same few sets at the same time, for ten minutes, at the default settings of autovacuum.
 * Not a measurement of speed: it fails if a set is lost or handled twice, if a count is wrong, if a run has no row
 * in the queue or two, if processes deadlock, or if dead rows accumulate.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../support/until.ts';
import { misjudgedIn, misplacedIn, miscountedIn } from '../support/state.ts';
import {
  atMost,
  createDatabase,
  grid,
  same,
  whole,
  Worker,
  type SectionContext,
  type SectionResult,
} from './section.ts';
import type { StressOrder, StressStart } from './stress-worker.ts';

const PROCESSES = 4;
const SECONDS = 600;

export async function stress({ postgres, quick, say }: SectionContext): Promise<SectionResult> {
  const seconds = quick ? 2 : SECONDS;
  const db = await createDatabase(postgres, 'stress');
  const { client } = db;
  const workers: Worker<StressOrder, { sent: number }>[] = [];
  try {
    await client.query('create table effect (key text not null, revision int not null)');
    const start = Date.now();
    for (let index = 0; index < PROCESSES; index++) {
      const settings: StressStart = { url: db.url, index, processes: PROCESSES, start };
      workers.push(await Worker.start('stress-worker.ts', settings));
    }
    const sizes: Size[] = [];
    const over = new AbortController();
    const watching = (async () => {
      while (!over.signal.aborted) {
        sizes.push(await sizeOf(client));
        await sleep(quick ? 200 : 10_000);
      }
    })();
    const all = (order: StressOrder) => Promise.all(workers.map((worker) => worker.ask(order)));
    const changed = await all({ kind: 'change', seconds });
    const windows = Math.ceil((Date.now() - start) / 50);
    await all({ kind: 'complete', windows });
    await until(async () => {
      const { rows } = await client.query(
        `select from muster.sets where state is distinct from 'done' limit 1`,
      );
      return rows.length === 0;
    }, 120_000);
    await untilEmpty(client);
    over.abort();
    await watching;
    const { rows } = await client.query<Outcome>(
      `select (select count(*)::int from muster.sets) as sets,
              (select count(*)::int from (select from effect group by key, revision having count(*) > 1) e) as twice,
              (select count(*)::int from muster.sets s where not exists (select from effect e where e.key = s.key)) as lost,
              (select count(*)::int from effect e where not exists (select from muster.sets s where s.key = e.key)) as strangers,
              (select count(*)::int from muster.queue) as queued, (select count(*)::int from muster.lease) as leases,
              (select deadlocks::int from pg_stat_database where datname = current_database()) as deadlocks`,
    );
    const outcome = rows[0]!;
    const wrong = [
      ...(await miscountedIn(client)),
      ...(await misjudgedIn(client)),
      ...(await misplacedIn(client)),
    ];
    same('sets whose counts, rule or queue are wrong', wrong, []);
    const sent = changed.reduce((sum, each) => sum + each.sent, 0);
    const middle = sizes.length >> 1;
    const mostDead = (table: string, some: readonly Size[]) =>
      Math.max(0, ...some.map((size) => size[table]?.dead ?? 0));
    const halves = [sizes.slice(0, middle), sizes.slice(middle)] as const;
    say(
      grid(
        `Stress: ${PROCESSES} processes on the same sets for ${seconds} s, ${whole(sent)} changes of ${whole(outcome.sets)} sets`,
        ['dead rows, at most', 'first half', 'second half'],
        (['sets', 'queue', 'lease', 'member'] as const).map((table) => [
          table,
          ...halves.map((half) => whole(mostDead(table, half))),
        ]),
      ),
    );
    const verdicts = (['lost', 'twice', 'strangers', 'deadlocks', 'queued', 'leases'] as const).map(
      (what) => atMost(`stress, ${what}`, outcome[what], 0),
    );
    for (const { what, reached } of verdicts) same(what, reached, 0);
    // Queue and leases are emptied all the time; sets and members grow, and autovacuum begins at a fifth of them.
    const emptied = (['queue', 'lease'] as const).map((table) => {
      const [first, second] = halves.map((half) => Math.max(1_000, mostDead(table, half)));
      return atMost(`stress, dead rows of ${table}, second half × first`, second! / first!, 2);
    });
    const last = sizes.at(-1)!;
    const kept = (['sets', 'member'] as const).map((table) => {
      const { dead, live } = last[table] ?? { dead: 0, live: 0 };
      return atMost(
        `stress, dead rows of ${table} at the end, × live`,
        dead / Math.max(1, live),
        0.5,
      );
    });
    return {
      data: { seconds, sent, outcome, sizes },
      verdicts: [...verdicts, ...emptied, ...kept],
    };
  } finally {
    for (const worker of workers) await worker.end();
    await db.drop();
  }
}

interface Outcome {
  readonly sets: number;
  readonly twice: number;
  readonly lost: number;
  readonly strangers: number;
  readonly queued: number;
  readonly leases: number;
  readonly deadlocks: number;
}

type Size = Partial<Record<string, { readonly dead: number; readonly live: number }>>;
type Client = Parameters<typeof miscountedIn>[0];

/** Rows by table, as the statistics have them. */
async function sizeOf(client: Client): Promise<Size> {
  const { rows } = await client.query<{ name: string; dead: number; live: number }>(
    `select relname as name, n_dead_tup::float8 as dead, n_live_tup::float8 as live
     from pg_stat_user_tables where schemaname = 'muster'`,
  );
  return Object.fromEntries(rows.map(({ name, ...size }) => [name, size]));
}

/** Processes delete the leases of ended runs a moment later, and those that they could not with a renewal. */
async function untilEmpty(client: Client): Promise<void> {
  const end = performance.now() + 30_000;
  for (let rows = 1; rows > 0 && performance.now() < end;) {
    const answer = await client.query<{ n: number }>('select count(*)::int as n from muster.lease');
    rows = answer.rows[0]!.n;
    await sleep(100);
  }
}
