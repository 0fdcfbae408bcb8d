/**
 * The poll that Muster replaces: once per second, over the whole table, "which recordings are complete and
 * not yet dispatched?" Compares PostgreSQL's time for an hour of it with an hour of Muster: busy, with the
 * number of events that fill such a table in a day; and idle, with the queries of a pod's loops.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { freePort } from '../../src/local/port.ts';
import { Readiness } from '../../src/local/readiness.ts';
import { cpuOf, cpuOfPostgres } from './cpu.ts';
import type { GrowthOrder, GrowthStart } from './growth-worker.ts';
import type { Seen } from './load.ts';
import {
  atMost,
  createDatabase,
  grid,
  medianOf,
  same,
  whole,
  Worker,
  type SectionContext,
  type SectionResult,
} from './section.ts';

/** The query of the dispatcher before Muster, on its best index: an anti-join, then grouping. */
const POLL = `
  select s.recording from polled.signal s
  where s.kind in ('eeg', 'accelerometer')
    and not exists (select from polled.dispatched d where d.recording = s.recording)
  group by s.recording having count(distinct s.kind) = 2`;

interface Polled {
  readonly rows: number;
  readonly ms: number;
  readonly buffers: number;
}

interface Idle {
  readonly statements: number;
  readonly postgresUs: number;
  readonly nodeUs: number;
  readonly seconds: number;
}

interface Busy {
  /** CPU of PostgreSQL in microseconds, and buffers it accessed, per event. */
  readonly postgresUs: number;
  readonly buffers: number;
}

export async function measurePoll(context: SectionContext): Promise<SectionResult> {
  const { quick, say } = context;
  const polled: Polled[] = [];
  for (const rows of quick ? [100, 1_000] : [10_000, 100_000, 1_000_000]) {
    polled.push(await poll(rows, context));
  }
  const busy = await measureBusy(context);
  const idle = await measureIdle(context);

  const idleMs = (idle.postgresUs / 1000 / idle.seconds) * 3600;
  const busyMs = (rows: number) => ((rows / 24) * busy.postgresUs) / 1000 + idleMs;
  const rows = polled.map((each) => [
    whole(each.rows),
    each.ms.toFixed(1),
    whole(each.buffers),
    seconds(each.ms * 3600),
    whole(each.buffers * 3600),
    seconds(busyMs(each.rows)),
    whole((each.rows / 24) * busy.buffers),
    seconds(idleMs),
  ]);
  const head = [
    'rows',
    'one poll: ms',
    'buffers',
    'poll, an hour: s',
    'buffers',
    'Muster busy, an hour: CPU s',
    'buffers',
    'idle: CPU s',
  ];
  say(
    grid(
      'The poll it replaces, every second, with nothing new to find; busy: that many rows per day',
      head,
      rows,
    ),
  );
  const rate = (n: number) => (n / idle.seconds).toFixed(1);
  say(
    `an idle pod: ${rate(idle.statements)} statements/s, ${rate(idle.postgresUs / 1000)} ms/s CPU of PostgreSQL, ${rate(idle.nodeUs / 1000)} ms/s of Node; an event: ${busy.postgresUs.toFixed(0)} µs, ${busy.buffers.toFixed(0)} buffers`,
  );
  const verdicts = polled.map((each) =>
    atMost(
      `PostgreSQL time, Muster busy against the poll of ${whole(each.rows)} rows`,
      busyMs(each.rows) / (each.ms * 3600),
      1,
    ),
  );
  return { data: { polled, busy, idle }, verdicts };
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

/** Everything is dispatched except a hundred recordings that wait for their second row. */
async function poll(rows: number, { postgres, quick }: SectionContext): Promise<Polled> {
  const db = await createDatabase(postgres, `poll_${rows}`, 'empty');
  try {
    await db.client.query(`
      create schema polled;
      create table polled.signal (id bigint primary key, recording bigint not null, kind text not null, data text);
      create table polled.dispatched (recording bigint primary key);
      insert into polled.signal
        select n, n / 2, (array['eeg', 'accelerometer'])[1 + n % 2], 'x' from generate_series(0, ${rows - 1}) n;
      insert into polled.signal
        select ${rows} + n, ${rows} + n, 'eeg', 'x' from generate_series(1, 100) n;
      insert into polled.dispatched select n from generate_series(0, ${rows / 2 - 1}) n;
      create index on polled.signal (recording, kind)`);
    await db.client.query('vacuum analyze');
    const found = await db.client.query(POLL);
    same('the poll finds', found.rowCount, 0);
    await db.client.query('set max_parallel_workers_per_gather = 0'); // its time is then its CPU
    const times: number[] = [];
    let buffers = 0;
    for (let i = 0; i < (quick ? 1 : 5); i++) {
      const plan = await explain(db.client);
      times.push(plan['Execution Time']);
      buffers = plan.Plan['Shared Hit Blocks'] + plan.Plan['Shared Read Blocks'];
    }
    return { rows, ms: medianOf(times), buffers };
  } finally {
    await db.drop();
  }
}

interface Explained {
  readonly 'Execution Time': number;
  readonly Plan: { readonly 'Shared Hit Blocks': number; readonly 'Shared Read Blocks': number };
}

async function explain(client: pg.Client): Promise<Explained> {
  const { rows } = await client.query<{ 'QUERY PLAN': [Explained] }>(
    `explain (analyze, buffers, format json) ${POLL}`,
  );
  return rows[0]!['QUERY PLAN'][0];
}

/** Events one by one, as in a slow stream: the most expensive case, because nothing is batched. Handlers run. */
async function measureBusy({ postgres, quick }: SectionContext): Promise<Busy> {
  const db = await createDatabase(postgres, 'poll_busy');
  const workload = { rowsPerSet: 2, deadlines: true, completes: true };
  const start: GrowthStart = { url: db.url, workload };
  const worker = await Worker.start<GrowthOrder, Seen>('growth-worker.ts', start);
  try {
    const order = { inFlight: 1, seconds: quick ? 0.2 : 3, from: 0 };
    const first = await worker.ask(order); // compiles
    const from = Math.ceil(first.answered / 2048) * 2048;
    const buffersBefore = await buffersOf(db.client);
    const before = cpuOfPostgres(postgres.pid);
    const seen = await worker.ask({ ...order, from });
    const postgresUs = (cpuOfPostgres(postgres.pid) - before) / seen.answered;
    const buffers = ((await buffersOf(db.client)) - buffersBefore) / seen.answered;
    const { rows } = await db.client.query(
      'select count(*)::int as n from muster.member where in_set',
    );
    same('busy, rows ingested', rows[0].n, first.answered + seen.answered);
    return { postgresUs, buffers };
  } finally {
    await worker.end();
    await db.drop();
  }
}

/** Returns the blocks that this database's backends have accessed. */
async function buffersOf(client: pg.Client): Promise<number> {
  await sleep(1_200); // a backend reports at most once per second
  const { rows } = await client.query<{ n: number }>(
    'select (blks_hit + blks_read)::float8 as n from pg_stat_database where datname = current_database()',
  );
  return rows[0]!.n;
}

/** `muster serve` with its defaults and nothing to do. */
async function measureIdle({ postgres, quick }: SectionContext): Promise<Idle> {
  const db = await createDatabase(postgres, 'poll_idle');
  const port = await freePort();
  const readiness = new Readiness();
  const muster = fileURLToPath(new URL('../../src/cli/muster.ts', import.meta.url));
  const pod = spawn(process.execPath, [muster, 'serve'], {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: db.url,
      FUNCTIONS: 'recordings',
      HOST: '127.0.0.1',
      PORT: String(port),
      LOG_LEVEL: 'error',
      ...readiness.env,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const gone = once(pod, 'exit');
  try {
    while (!(await readiness.at(`http://127.0.0.1:${port}`))) {
      if (pod.exitCode !== null) throw new Error(`muster serve exited with ${pod.exitCode}`);
      await sleep(20);
    }
    await sleep(quick ? 100 : 3_000);
    const look = async () => ({
      statements: await statementsOf(db.client),
      at: performance.now(),
      postgres: cpuOfPostgres(postgres.pid),
      node: cpuOf(pod.pid!),
    });
    const before = await look();
    await sleep(quick ? 500 : 10_000);
    const after = await look();
    return {
      statements: after.statements - before.statements,
      postgresUs: after.postgres - before.postgres,
      nodeUs: after.node - before.node,
      seconds: (after.at - before.at) / 1000,
    };
  } finally {
    pod.kill('SIGTERM');
    await gone;
    await db.drop();
  }
}

/** Returns the transactions of this database, with one statement each, without those of the bench. */
async function statementsOf(client: pg.Client): Promise<number> {
  await sleep(1_200);
  const { rows } = await client.query<{ n: number }>(
    'select (xact_commit + xact_rollback)::float8 as n from pg_stat_database where datname = current_database()',
  );
  return rows[0]!.n;
}
