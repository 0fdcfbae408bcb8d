/**
 * One contender of jobs.ts in a separate process: processes a backlog with handlers that do nothing, or
 * with handlers that insert one row; or jobs that arrive while it works. All start from scratch with each
 * order, with compiled code.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger, run } from 'graphile-worker';
import pg from 'pg';
import { PgBoss } from 'pg-boss';
import { readConfig } from '../../src/config/config.ts';
import { startEngine } from '../../src/process/engine.ts';
import type { Log } from '../../src/function.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import { obey } from './section.ts';
import { changeOf, definitionOf, secondRow, type Workload } from './workload.ts';

export type JobsStart =
  | {
      readonly kind: 'muster';
      readonly url: string;
      readonly insert: boolean;
      readonly slots: number;
      /** Sets per call; null = one, without batches. */
      readonly batch: number | null;
    }
  | {
      readonly kind: 'graphile-worker';
      readonly url: string;
      readonly insert: boolean;
      readonly concurrentJobs: number;
      readonly localQueue: number;
      readonly completeJobBatchDelay: number;
      readonly pool: number;
    }
  | {
      readonly kind: 'pg-boss';
      readonly url: string;
      readonly insert: boolean;
      /** Whether the handler's inserts and the completion of its batch are one transaction. */
      readonly transactional: boolean;
      readonly batchSize: number;
      readonly localConcurrency: number;
    };

export interface JobsOrder {
  /** Fills the queue, processes it, or processes jobs while it adds them one by one. */
  readonly kind: 'fill' | 'work' | 'arrive';
  readonly jobs: number;
}

export interface JobsAnswer {
  /** From the start of the first handler, or the arrival of the first job, to the last completion. */
  readonly seconds: number;
  /** The number of handler calls. */
  readonly handled: number;
}

const PAIRS: Workload = { rowsPerSet: 2, deadlines: true, completes: true };

/** The same insert for all: one row per job. */
const INSERT = 'insert into effect (job) values ($1)';

const start = JSON.parse(process.argv[2]!) as JobsStart;
/** How many callers add jobs: the events that Muster's bench has in flight in a process. */
const ADDING = 256;
let first: number | null = null;
let handled = 0;
const begin = () => {
  first ??= performance.now();
  handled++;
};
const work = await open(start);
obey<JobsOrder>(async (order) => {
  first = null;
  handled = 0;
  const last = await work(order);
  return { seconds: (last - (first ?? last)) / 1000, handled } satisfies JobsAnswer;
});

/** Adds jobs 0 to `jobs` − 1 with as many callers as there are events in flight. */
async function arrive(jobs: number, add: (n: number) => Promise<unknown>): Promise<void> {
  first = performance.now();
  let next = 0;
  const caller = async () => {
    while (next < jobs) await add(next++);
  };
  await Promise.all(Array.from({ length: ADDING }, caller));
}

/** Resolves with the time of the last completion. */
type Work = (order: JobsOrder) => Promise<number>;

function open(options: JobsStart): Promise<Work> {
  switch (options.kind) {
    case 'muster':
      return openMuster(options);
    case 'graphile-worker':
      return openGraphile(options);
    case 'pg-boss':
      return openBoss(options);
  }
}

/** The engine of `muster serve`: claims runs, loads members, runs handlers, marks runs as done. */
async function openMuster({
  url,
  insert,
  slots,
  batch,
}: JobsStart & { kind: 'muster' }): Promise<Work> {
  const config = readConfig({ DATABASE_URL: url, CONCURRENCY: String(slots) });
  const log: Log = { info() {}, warn() {}, error: (fields, text) => console.error(text, fields) };
  const definition = definitionOf(PAIRS);
  const handle: NonNullable<typeof definition.handle> = insert
    ? async (set, { tx }) => {
        begin();
        await tx.query(INSERT, [set.keyText]);
      }
    : (set) => {
        begin();
        if (set.parts['eeg']!.length + set.parts['accelerometer']!.length !== 2) {
          throw new Error('a handler got no members');
        }
      };
  /** Like pg-boss's, with one insert after the other. */
  const handleAll: NonNullable<typeof definition.handleAll> = async (sets, { tx }) => {
    for (const set of sets) {
      begin();
      if (set.parts['eeg']!.length + set.parts['accelerometer']!.length !== 2) {
        throw new Error('a handler got no members');
      }
      if (insert) await tx.query(INSERT, [set.keyText]);
    }
  };
  const { name, parts, overdueAfter } = definition;
  const rest = { name, parts, overdueAfter: overdueAfter! };
  const served: typeof definition =
    batch === null ? { ...rest, handle } : { ...rest, handleAll, batch: { size: batch } };
  const engine = async (jobs: number, isArriving: boolean) => {
    const { promise, resolve } = Promise.withResolvers<number>();
    const metrics = createMetrics();
    let done = 0;
    const inc = metrics.runs.inc.bind(metrics.runs) as (labels: object) => void;
    metrics.runs.inc = ((labels: object) => {
      inc(labels);
      if (++done === jobs) resolve(performance.now());
    }) as typeof metrics.runs.inc;
    const started = await startEngine(config, [served], log, metrics);
    if (isArriving) {
      await arrive(jobs, (n) => started.ingestor.ingest(changeOf(secondRow(n), PAIRS)));
    }
    const last = jobs === 0 ? 0 : await promise;
    await started.stop();
    return last;
  };
  await engine(0, false); // registers the function
  return ({ kind, jobs }) => engine(jobs, kind === 'arrive');
}

async function openGraphile(options: JobsStart & { kind: 'graphile-worker' }): Promise<Work> {
  const { url, insert, concurrentJobs, localQueue, completeJobBatchDelay } = options;
  const pool = new pg.Pool({ connectionString: url, max: options.pool });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  const quiet = new Logger(() => (level, message) => {
    if (level === 'error') console.error(message);
  });
  const graphile = (taskList: Parameters<typeof run>[1]) =>
    run(
      {
        pgPool: pool,
        logger: quiet,
        noHandleSignals: true,
        crontab: '',
        preset: {
          worker: {
            concurrentJobs,
            pollInterval: 2000,
            localQueue: { size: localQueue },
            completeJobBatchDelay,
            failJobBatchDelay: completeJobBatchDelay,
          },
        },
      },
      taskList,
    );
  await (await graphile({ none() {} })).stop(); // its schema
  return async ({ kind, jobs }) => {
    if (kind === 'fill') {
      await pool.query(
        `select count(*) from graphile_worker.add_jobs(array(
           select ('noop', json_build_object('key', n), null, now(), 25::smallint, null, 0::smallint, null)::graphile_worker.job_spec
           from generate_series(1, $1::int) n))`,
        [jobs],
      );
      return 0;
    }
    const runner = await graphile({
      async noop(payload, helpers) {
        begin();
        if (insert) await helpers.query(INSERT, [(payload as { key: number }).key]);
      },
    });
    if (kind === 'arrive') await arrive(jobs, (key) => runner.addJob('noop', { key }));
    await allHandled(jobs);
    const left = 'select exists (select from graphile_worker._private_jobs) as some';
    while ((await pool.query<{ some: boolean }>(left)).rows[0]!.some);
    const last = performance.now();
    await runner.stop();
    return last;
  };
}

async function allHandled(jobs: number): Promise<void> {
  for (;;) {
    if (handled >= jobs) return;
    await sleep(2);
  }
}

async function openBoss(options: JobsStart & { kind: 'pg-boss' }): Promise<Work> {
  const { url, insert, transactional, batchSize, localConcurrency } = options;
  const settings = { connectionString: url, max: 10, supervise: false, schedule: false };
  const boss = new PgBoss(settings);
  boss.on('error', console.error);
  await boss.start();
  await boss.createQueue('noop');
  const pool = new pg.Pool({ connectionString: url, max: 16 });
  pool.on('error', () => {});
  return async ({ kind, jobs }) => {
    if (kind === 'fill') {
      const data = Array.from({ length: jobs }, (_, n) => ({ data: { key: n } }));
      for (let at = 0; at < jobs; at += 1000) await boss.insert('noop', data.slice(at, at + 1000));
      return 0;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const handle = async (
      batch: { data: { key: number } }[],
      tx?: { executeSql(text: string, values: unknown[]): Promise<unknown> },
    ) => {
      const inserts: Promise<unknown>[] = [];
      for (const { data } of batch) {
        begin();
        if (!insert) continue;
        if (tx) await tx.executeSql(INSERT, [data.key]);
        else inserts.push(pool.query(INSERT, [data.key]));
      }
      await Promise.all(inserts);
      if (handled >= jobs) resolve();
    };
    const every = {
      batchSize,
      localConcurrency,
      pollingIntervalSeconds: 0.5,
      burstWhenBatchFull: true,
    };
    if (transactional) await boss.work('noop', { ...every, transactional }, handle);
    else await boss.work('noop', every, (batch: { data: { key: number } }[]) => handle(batch));
    if (kind === 'arrive') await arrive(jobs, (key) => boss.send('noop', { key }));
    await promise;
    const left = `select exists (select from pgboss.job where name = 'noop' and state < 'completed') as some`;
    while ((await pool.query<{ some: boolean }>(left)).rows[0]!.some);
    const last = performance.now();
    await boss.offWork('noop', { wait: true });
    return last;
  };
}
