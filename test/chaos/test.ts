import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { TestProcess } from '../support/process.ts';
import { sinkServer, type TestSink } from '../support/sink.ts';
import { test as base, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { gateOf, TRACES } from './functions.ts';

const SERVE = fileURLToPath(new URL('serve.ts', import.meta.url));

/** Processes and their environment, for tests that kill and pause them. */
export interface Chaos {
  readonly sink: TestSink;
  /** Starts a process that serves the functions of this folder; it is killed when the test ends. */
  launch(settings?: Record<string, string>): TestProcess;
  /** Makes the handler of this set wait in this attempt; returns a function that releases it. */
  hold(key: string, attempt?: number): Promise<() => Promise<void>>;
  /** Returns the rows of `started` or `effect`, ordered by run. */
  traces(table: 'started' | 'effect'): Promise<{ run: string; attempt: number; pid: number }[]>;
}

export const test = base.extend<{ chaos: Chaos }>({
  chaos: async ({ db }, use) => {
    await db.query(TRACES);
    const sink = await sinkServer();
    const processes: TestProcess[] = [];
    const holders: pg.Client[] = [];
    await use({
      sink,
      launch(settings = {}) {
        const launched = new TestProcess(SERVE, [], {
          DATABASE_URL: db.url,
          HOST: '127.0.0.1',
          PORT: '0',
          LEASE_SECONDS: '1',
          DRAIN_SECONDS: '10',
          K_SINK: sink.url,
          ...settings,
        });
        processes.push(launched);
        return launched;
      },
      async hold(key, attempt = 1) {
        const holder = new pg.Client(db.url);
        holders.push(holder);
        await holder.connect();
        await holder.query('select pg_advisory_lock(hashtext($1))', [gateOf(key, attempt)]);
        return async () => {
          await holder.query('select pg_advisory_unlock_all()');
        };
      },
      traces: (table) => db.query(`select * from ${table} order by run, attempt`),
    });
    for (const each of processes) each.kill('SIGKILL');
    await Promise.all(processes.map((each) => each.exited));
    await Promise.all(holders.map((each) => each.end()));
  },
});

/** Waits until `n` attempts have started. */
export async function begun(db: TestDatabase, n: number): Promise<void> {
  await until(async () => (await db.query('select from started')).length >= n);
}

/** Waits until `n` runs are done and the events of their handlers are sent. */
export async function doneAndSent(db: TestDatabase, n: number): Promise<void> {
  await done(db, n);
  await until(async () => (await db.query(SENT)).length === n);
}

const SENT = `select from muster.outbox where sent_at is not null and type not like 'muster.set.%'`;

async function done(db: TestDatabase, n: number): Promise<void> {
  await until(
    async () => (await db.query(`select from muster.run where state = 'done'`)).length === n,
    25_000,
  );
}

/** Waits until a backend waits for a lock on this table. */
export async function queued(db: TestDatabase, table: string): Promise<void> {
  const waiting = `
    select from pg_locks
    where not granted and relation = $1::regclass
      and database = (select oid from pg_database where datname = current_database())`;
  await until(async () => (await db.query(waiting, [table])).length > 0);
}
