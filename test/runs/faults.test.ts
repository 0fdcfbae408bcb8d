import { expect } from 'vitest';
import type { FunctionDefinition } from '../../src/function.ts';
import { Faults, isFault } from '../../src/runs/faults.ts';
import { engineOn, type TestEngine } from '../support/engine.ts';
import { leaseOf } from '../support/leases.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { runsOf } from '../support/state.ts';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';

const lease = leaseOf('x');
const UNCOUNTED = 'the database failed this attempt, which does not count';

const done = (db: Parameters<typeof runsOf>[0]) => async () =>
  (await runsOf(db))[0]?.state === 'done';
const spared = (engine: TestEngine) => engine.lines.filter(({ message }) => message === UNCOUNTED);

async function complete(engine: TestEngine, key = 'x') {
  for (const each of [partA(key), partB(key)]) await engine.ingestor.ingest(each);
}

test('an attempt whose connection is lost does not count, and the run is retried', async ({
  db,
}) => {
  let calls = 0;
  const handle: FunctionDefinition['handle'] = async (_set, { tx }) => {
    await tx.query('select 1');
    if (++calls > 2) return;
    await db.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'muster handler'`,
    );
    await tx.query('select 1');
  };
  const engine = await engineOn(db, [pairOf({ handle, retry: { attempts: 1 } })]);
  await complete(engine);
  await until(done(db));
  expect(await runsOf(db)).toMatchObject([{ token: '3', attempt: 1 }]);
  expect(spared(engine).length).toBe(2);
  expect((await engine.metrics.runs.get()).values).toContainEqual({
    labels: { function: 'pair', outcome: 'released' },
    value: 2,
  });
  await engine.stop();
});

test('an error that a handler throws because of a lost connection is a fault of the database, too', async ({
  db,
}) => {
  let calls = 0;
  const engine = await engineOn(db, [
    pairOf({
      retry: { attempts: 1 },
      async handle(_set, { tx }) {
        await tx.query('select 1');
        if (++calls > 1) return;
        await db.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and application_name = 'muster handler'`,
        );
        try {
          await tx.query('select 1');
        } catch {
          throw new Error('the order could not be stored');
        }
      },
    }),
  ]);
  await complete(engine);
  await until(done(db));
  expect(await runsOf(db)).toMatchObject([{ attempt: 1 }]);
  await engine.stop();
});

test('a server without a free connection fails no run', async ({ db }) => {
  const role = `limited_${db.url.split('_').at(-1)!.slice(0, 12)}`;
  await db.query(`
    create role ${role} login password 'limited' in role pg_read_all_data, pg_write_all_data;
    grant usage on schema muster to ${role}`);
  const url = new URL(db.url);
  url.username = role;
  url.password = 'limited';
  let calls = 0;
  const handle: FunctionDefinition['handle'] = async (_set, { tx }) => {
    if (++calls === 1) await db.query(`alter role ${role} connection limit 0`);
    await tx.query('select 1');
  };
  const engine = await engineOn({ ...db, url: url.href }, [
    pairOf({ handle, retry: { attempts: 1 } }),
  ]);
  await complete(engine);
  await until(() => spared(engine).length >= 2);
  expect(spared(engine)[0]!['error']).toContain('too many connections');
  await db.query(`alter role ${role} connection limit -1`);
  await until(done(db));
  expect(await runsOf(db)).toMatchObject([{ attempt: 1 }]);
  await engine.stop();
});

test('a read-only server fails no run', async ({ db }) => {
  let calls = 0;
  const engine = await engineOn(db, [
    pairOf({
      retry: { attempts: 1 },
      async handle(_set, { tx }) {
        // as on a server that has just been demoted
        if (++calls === 1) await tx.query('set transaction read only');
        await tx.query('create table written ()');
      },
    }),
  ]);
  await complete(engine);
  await until(done(db));
  expect(await runsOf(db)).toMatchObject([{ token: '2', attempt: 1 }]);
  await engine.stop();
});

test("an error of the same kind from another service counts as the handler's", async ({ db }) => {
  const engine = await engineOn(db, [
    pairOf({
      retry: { attempts: 1 },
      async handle(_set, { tx }) {
        await tx.query('select 1');
        throw Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), {
          code: 'ECONNREFUSED',
        });
      },
    }),
  ]);
  await complete(engine);
  await until(async () => (await runsOf(db))[0]?.state === 'failed');
  expect(spared(engine)).toEqual([]);
  await engine.stop();
});

test('a handler that always ends its own connection fails eventually', () => {
  const faults = new Faults();
  const cut = Object.assign(new Error('Connection terminated unexpectedly'));
  const waits = Array.from({ length: 22 }, () => faults.waitAfter(lease, cut, () => 1));
  expect(waits.slice(0, 6)).toEqual([250, 500, 1000, 2000, 4000, 5000]);
  expect(waits.slice(19)).toEqual([5000, null, null]);
});

test('a run waits without limit for a server that accepts no connections', () => {
  const faults = new Faults();
  const errors = [
    new Error('timeout exceeded when trying to connect'),
    new Error('Connection terminated due to connection timeout'),
    Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' }),
  ];
  for (let i = 0; i < 100; i++) {
    for (const error of errors) expect(faults.waitAfter(lease, error, () => 1)).toBeLessThan(5001);
  }
});

test('a statement that times out is not a fault of the database', () => {
  expect(isFault(new Error('Query read timeout'))).toBe(false);
  expect(isFault(new Error('Connection terminated unexpectedly'))).toBe(true);
});
