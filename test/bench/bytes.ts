/**
 * Bytes of write-ahead log and of disk, and the share of HOT updates: figures that don't depend on how busy the
 * machine is. On a server of its own, as a state database is by default: without logical decoding, which logs whole
 * rows. Full-page images are off, because their number depends on the time of the last checkpoint.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { startPostgres, type Postgres } from '../../src/local/postgres/postgres.ts';
import { until } from '../support/until.ts';
import { fillSets } from './filled.ts';
import type { GrowthOrder, GrowthStart } from './growth-worker.ts';
import type { JobsAnswer, JobsOrder, JobsStart } from './jobs-worker.ts';
import type { Seen } from './load.ts';
import {
  allHandled,
  atLeast,
  atMost,
  createDatabase,
  grid,
  whole,
  Worker,
  type BenchDatabase,
  type SectionContext,
  type SectionResult,
} from './section.ts';
import type { Workload } from './workload.ts';

const PAIRS: Workload = { rowsPerSet: 2, deadlines: true, completes: true };
const IN_FLIGHT = 256;
/** Only the events of the second half complete sets. */
const ENOUGH = 2_048;

interface Figures {
  readonly what: string;
  /** Events, or runs of a backlog. */
  readonly count: number;
  readonly walBytes: number;
  /** Of tables and indexes; null if they were not empty before. */
  readonly diskBytes: number | null;
  /** By table; null for queues of others. */
  readonly hot: Readonly<Record<string, number>> | null;
}

export async function measureBytes(context: SectionContext): Promise<SectionResult> {
  const { say, quick } = context;
  const seconds = quick ? 0.2 : 2;
  const jobs = quick ? 300 : 20_000;
  const measured: Figures[] = [];
  const postgres = await startPostgres({
    folder: join(context.folder, 'bytes'),
    fresh: true,
    settings: { wal_level: 'replica', full_page_writes: 'off', max_wal_size: '4GB' },
  });
  try {
    measured.push(await ingest('ingesting, handlers paused', true, seconds, postgres));
    measured.push(await ingest('ingesting, with no-op runs', false, seconds, postgres));
    for (const kind of ['muster', 'graphile-worker', 'pg-boss'] as const) {
      measured.push(await backlog(kind, jobs, postgres));
    }
  } finally {
    await postgres.stop();
  }
  say(
    grid(
      'Bytes, full-page images off',
      ['what', 'events or runs', 'WAL bytes', 'disk bytes', 'HOT: sets', 'member'],
      measured.map(({ what, count, walBytes, diskBytes, hot }) => [
        what,
        whole(count),
        whole(walBytes),
        diskBytes === null ? '-' : whole(diskBytes),
        hot === null ? '-' : percent(hot['sets']),
        hot === null ? '-' : percent(hot['member']),
      ]),
    ),
  );
  const [paused, running, claimed] = measured as [Figures, Figures, Figures];
  const verdicts = [
    atMost('WAL bytes per event, handlers paused', paused.walBytes, 900),
    atMost('WAL bytes per event, with no-op runs', running.walBytes, 1_000),
    atMost('WAL bytes per run of a backlog', claimed.walBytes, 400),
    atMost('disk bytes per event', running.diskBytes!, 650),
    atLeast('HOT share of updates of sets', running.hot!['sets']!, 0.95),
  ];
  return { data: measured, verdicts };
}

async function ingest(
  what: string,
  isPaused: boolean,
  seconds: number,
  postgres: Postgres,
): Promise<Figures> {
  const db = await createDatabase(postgres, 'bytes_ingest');
  try {
    const start: GrowthStart = { url: db.url, workload: PAIRS };
    const worker = await Worker.start<GrowthOrder, Seen>('growth-worker.ts', start);
    await db.client.query('update muster.function set paused = $1', [isPaused]);
    await worker.ask({ inFlight: 1, seconds: 0.1, from: 1_000_000 });
    if (!isPaused) await allHandled(db.client);
    const before = await stateOf(db);
    let answered = 0;
    // A slow machine needs longer until rows complete sets.
    while (answered < ENOUGH) {
      answered += (await worker.ask({ inFlight: IN_FLIGHT, seconds, from: answered })).answered;
    }
    if (!isPaused) await allHandled(db.client);
    const after = await stateOf(db);
    await worker.end();
    return {
      what,
      count: answered,
      walBytes: (after.wal - before.wal) / answered,
      diskBytes: (after.disk - before.disk) / answered,
      hot: await hotShares(db.client),
    };
  } finally {
    await db.drop();
  }
}

async function backlog(
  kind: JobsStart['kind'],
  jobs: number,
  postgres: Postgres,
): Promise<Figures> {
  const isMuster = kind === 'muster';
  const db = await createDatabase(postgres, 'bytes_backlog', isMuster ? 'schema' : 'empty');
  try {
    const worker = await Worker.start<JobsOrder, JobsAnswer>('jobs-worker.ts', {
      ...SETTINGS[kind],
      url: db.url,
    });
    if (isMuster) {
      await fillSets(db.client, { from: 0, sets: jobs, rowsPerSet: 2, state: 'ready' });
    } else await worker.ask({ kind: 'fill', jobs });
    await db.client.query('vacuum analyze');
    const before = await stateOf(db);
    await worker.ask({ kind: 'work', jobs });
    const after = await stateOf(db);
    await worker.end();
    return {
      what: `claiming and finishing a backlog: ${isMuster ? 'Muster' : kind}`,
      count: jobs,
      walBytes: (after.wal - before.wal) / jobs,
      diskBytes: null,
      hot: isMuster ? await hotShares(db.client) : null,
    };
  } finally {
    await db.drop();
  }
}

const SETTINGS = {
  muster: { kind: 'muster', insert: false, slots: 512, batch: null },
  'graphile-worker': {
    kind: 'graphile-worker',
    insert: false,
    concurrentJobs: 24,
    localQueue: 500,
    completeJobBatchDelay: 0,
    pool: 10,
  },
  'pg-boss': {
    kind: 'pg-boss',
    insert: false,
    transactional: false,
    batchSize: 500,
    localConcurrency: 2,
  },
} as const;

async function stateOf({ client }: BenchDatabase): Promise<{ wal: number; disk: number }> {
  const { rows } = await client.query<{ wal: number; disk: number }>(
    `select (pg_current_wal_insert_lsn() - '0/0')::float8 as wal,
            coalesce(sum(pg_total_relation_size(c.oid)), 0)::float8 as disk
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'muster' and c.relkind = 'r'`,
  );
  return rows[0]!;
}

/** Sessions send their statistics once a second, and later on a busy machine. */
async function hotShares(client: pg.Client): Promise<Record<string, number>> {
  let before = '';
  return until(async () => {
    await sleep(1_500);
    const { rows } = await client.query<{ name: string; share: number; updates: string }>(
      `select relname as name, n_tup_upd as updates, n_tup_hot_upd / greatest(n_tup_upd, 1)::float8 as share
       from pg_stat_user_tables where schemaname = 'muster' and n_tup_upd > 0 order by relname`,
    );
    const now = JSON.stringify(rows);
    if (now === before && rows.some(({ name }) => name === 'sets')) {
      return Object.fromEntries(rows.map(({ name, share }) => [name, share]));
    }
    before = now;
    return null;
  }, 60_000);
}

function percent(share: number | undefined): string {
  return share === undefined ? '-' : `${(share * 100).toFixed(1)} %`;
}
