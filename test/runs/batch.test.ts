import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Batch, BatchedSet, FunctionDefinition } from '../../src/function.ts';
import { runFunction } from '../../src/testing.ts';
import { change } from '../support/changes.ts';
import { engineOn, type TestEngine } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { misplaced, runsOf } from '../support/state.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { workerOn } from '../support/worker.ts';

type HandleAll = NonNullable<FunctionDefinition['handleAll']>;

/** Batches are collected for this long, so that a test knows which sets they contain. */
const WAIT = '300 milliseconds';
const keysOf = (sets: readonly BatchedSet[]) => sets.map(({ keyText }) => keyText).toSorted();
const keys = (count: number) => Array.from({ length: count }, (_, i) => `k${i}`);

interface Batched {
  readonly definition: FunctionDefinition;
  /** Keys of the sets of each call, in order. */
  readonly calls: string[][];
}

function batchable(more: Partial<FunctionDefinition> = {}): FunctionDefinition {
  const { name, parts } = pairOf();
  return { name, parts, ...more };
}

/** A function that writes one row for each set, in batches. */
function batched(handle: HandleAll, batch: Batch, more: Partial<FunctionDefinition> = {}): Batched {
  const calls: string[][] = [];
  const pair = batchable(more);
  const handleAll: HandleAll = async (sets, context) => {
    calls.push(keysOf(sets));
    for (const { runId } of sets) {
      await context.tx.query('insert into effect values ($1, pg_current_xact_id())', [runId]);
    }
    return handle(sets, context);
  };
  return { definition: { ...pair, handleAll, batch }, calls };
}

async function start(
  db: TestDatabase,
  definitions: readonly FunctionDefinition[],
  settings: Record<string, string> = {},
): Promise<TestEngine> {
  await db.query('create table effect (run text, transaction xid8)');
  return engineOn(db, definitions, { CLAIM_SECONDS: '1', ...settings });
}

/** Completes these sets, all of them at nearly the same time. */
async function complete(engine: TestEngine, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((key) => engine.ingestor.ingest(partA(key))));
  await Promise.all(names.map((key) => engine.ingestor.ingest(partB(key))));
}

const ended = (db: TestDatabase, count: number) => async () =>
  (await db.query(`select from muster.sets where state in ('done', 'failed')`)).length === count;

/** Runs whose effect was committed, in order, with the number of transactions that committed them. */
async function effects(db: TestDatabase): Promise<{ runs: string[]; transactions: number }> {
  const rows = await db.query<{ run: string; transaction: string }>(
    'select run, transaction::text from effect order by run',
  );
  return {
    runs: rows.map(({ run }) => run),
    transactions: new Set(rows.map(({ transaction }) => transaction)).size,
  };
}

const sizesOf = (calls: readonly string[][]) =>
  calls.map(({ length }) => length).toSorted((a, b) => b - a);
const runIds = (names: readonly string[]) => names.map((key) => `pair/${key}/1`).toSorted();

test('sets are handled in batches of at most the given size, each in one transaction', async ({
  db,
}) => {
  const { definition, calls } = batched(
    (sets) => sets.map(({ keyText }) => [{ type: 'x', data: keyText }]),
    { size: 4, wait: WAIT },
  );
  const engine = await start(db, [definition], { CONCURRENCY: '4' });
  await complete(engine, keys(10));
  await until(ended(db, 10));
  await engine.stop();
  expect(calls.flat().toSorted()).toEqual(keys(10).toSorted());
  expect(sizesOf(calls)).toEqual([4, 4, 2]);
  expect(await effects(db)).toEqual({ runs: runIds(keys(10)), transactions: 3 });
  expect(await db.query('select key, event_id, data from muster.outbox order by key')).toEqual(
    keys(10).map((key) => ({ key, event_id: `pair/${key}/1/0`, data: key })),
  );
  expect(await misplaced(db)).toEqual([]);
});

test('one bad set fails alone, and the sets beside it are done once', async ({ db }) => {
  const { definition, calls } = batched(
    (sets) => {
      if (keysOf(sets).includes('k5')) throw new Error('bad');
    },
    { size: 8, wait: WAIT },
    { retry: { attempts: 1 } },
  );
  const engine = await start(db, [definition], { CONCURRENCY: '1' });
  await complete(engine, keys(8));
  await until(ended(db, 8));
  await engine.stop();
  const others = keys(8).filter((key) => key !== 'k5');
  expect((await effects(db)).runs).toEqual(runIds(others));
  const runs = await runsOf(db);
  expect(runs.filter(({ state }) => state === 'failed')).toMatchObject([{ key: 'k5', attempt: 1 }]);
  expect(runs.filter(({ state, attempt }) => state === 'done' && attempt === 1).length).toBe(7);
  expect(sizesOf(calls)).toEqual([8, 4, 4, 2, 2, 1, 1]);
});

test('a set whose attempt failed runs alone from then on, although others wait for company', async ({
  db,
}) => {
  const failures: number[] = [];
  const { definition, calls } = batched(
    (sets) => {
      if (!keysOf(sets).includes('k1') || failures.length === 4) return;
      failures.push(sets.length);
      throw new Error('bad');
    },
    { size: 4, wait: '2 seconds' },
    { retry: { first: '500 milliseconds', max: '500 milliseconds' } },
  );
  const engine = await start(db, [definition]);
  await complete(engine, keys(4));
  await until(async () => (await runsOf(db)).some(({ attempt }) => attempt === 1));
  await complete(engine, ['k4', 'k5']);
  await until(ended(db, 6));
  await engine.stop();
  expect(failures).toEqual([4, 2, 1, 1]);
  expect(calls).toContainEqual(['k4', 'k5']);
  expect((await effects(db)).runs).toEqual(runIds(keys(6)));
});

test('if the lease of one set is lost, its writes are not committed, and those of the others are', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  const { definition, calls } = batched(() => gate.promise, { size: 4, wait: WAIT });
  const engine = await start(db, [definition], { LEASE_SECONDS: '600' });
  await complete(engine, keys(4));
  await until(() => calls.length === 1);
  await db.query(`update muster.sets set token = token + 1 where key = 'k2'`);
  gate.resolve();
  const others = ['k0', 'k1', 'k3'];
  await until(ended(db, 3));
  await until(() => engine.lines.some(({ message }) => message.startsWith('another worker took')));
  await engine.stop();
  expect((await effects(db)).runs).toEqual(runIds(others));
  expect(sizesOf(calls)).toEqual([4, 2, 2, 1, 1]);
});

test('a lease that is found lost during the call ends it, and the others are handled together again', async ({
  db,
}) => {
  const { definition, calls } = batched(
    async (sets) => {
      if (sets.length === 4) await new Promise(() => {});
    },
    { size: 4, wait: WAIT },
  );
  const engine = await start(db, [definition], { LEASE_SECONDS: '2' });
  await complete(engine, keys(4));
  await until(() => calls.length === 1);
  await db.query(`update muster.sets set token = token + 1 where key = 'k2'`);
  await until(ended(db, 3), 15_000);
  await engine.stop();
  expect(calls.map(({ length }) => length)).toEqual([4, 3]);
  expect((await effects(db)).runs).toEqual(runIds(['k0', 'k1', 'k3']));
}, 20_000);

test('after a call that timed out each of its sets runs alone, and no attempt is counted', async ({
  db,
}) => {
  const { definition, calls } = batched(
    async (sets) => {
      if (keysOf(sets).includes('k1')) await sleep(10_000);
    },
    { size: 3, wait: WAIT },
    { timeout: '1 second', retry: { attempts: 1 } },
  );
  const engine = await start(db, [definition]);
  await complete(engine, keys(3));
  await until(ended(db, 3), 15_000);
  await engine.stop();
  expect(calls.map(({ length }) => length)).toEqual([3, 1, 1, 1]);
  expect((await effects(db)).runs).toEqual(runIds(['k0', 'k2']));
  expect((await runsOf(db)).map(({ key, state, attempt }) => [key, state, attempt])).toEqual([
    ['k0', 'done', 1],
    ['k1', 'failed', 1],
    ['k2', 'done', 1],
  ]);
}, 20_000);

test('if the process of a call dies, none of its sets is charged, and each runs alone from then on', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  const { definition, calls } = batched(
    () => gate.promise,
    { size: 3, wait: WAIT },
    { retry: { attempts: 1 } },
  );
  // Leases of 600 s are renewed every 200 s: the first engine does not notice that it was reaped.
  const paused = await start(db, [definition], { LEASE_SECONDS: '600' });
  await complete(paused, keys(3));
  await until(() => calls.length === 1);
  await db.query(`update muster.worker set lease_until = now() - interval '1 second'`);
  const heir = await workerOn(db, [definition]);
  expect(await heir.runs.reapExpired()).toBe(3);
  expect(await db.query('select attempt, lost from muster.sets')).toEqual(
    keys(3).map(() => ({ attempt: 0, lost: 1 })),
  );
  gate.resolve();
  await until(
    () => paused.lines.filter(({ message }) => message.startsWith('another worker')).length === 3,
  );
  await paused.stop();
  const other = await engineOn(db, [definition]);
  await until(ended(db, 3));
  await other.stop();
  expect(calls.slice(-3).map(({ length }) => length)).toEqual([1, 1, 1]);
  expect((await runsOf(db)).map(({ state, attempt }) => [state, attempt])).toEqual(
    keys(3).map(() => ['done', 1]),
  );
});

test('a renewal does not record the start of sets that share a call', async ({ db }) => {
  const gate = Promise.withResolvers<void>();
  const { definition, calls } = batched(() => gate.promise, { size: 3, wait: WAIT });
  const engine = await start(db, [definition], { LEASE_SECONDS: '2' });
  await complete(engine, keys(3));
  await until(() => calls.length === 1);
  const leaseOf = async () =>
    (await db.query<{ until: string }>('select lease_until::text as until from muster.worker'))[0]!
      .until;
  for (let renewals = 0, last = await leaseOf(); renewals < 2;) {
    await sleep(50);
    const now = await leaseOf();
    if (now !== last) renewals++;
    last = now;
  }
  expect(await db.query('select unnest(starts)::text as start from muster.lease')).toEqual(
    keys(3).map(() => ({ start: 'waiting' })),
  );
  gate.resolve();
  await until(ended(db, 3));
  await engine.stop();
});

test('sets that run alone are left to other processes if this one has no slot for them', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  const { definition, calls } = batched(
    (sets) => (sets.length > 1 ? new Promise(() => {}) : gate.promise),
    { size: 6, wait: WAIT },
    { timeout: '1 second' },
  );
  const engine = await start(db, [definition], { CONCURRENCY: '1' });
  await complete(engine, keys(6));
  await until(() => calls.length === 2, 10_000);
  await until(async () => (await db.query('select from muster.leased')).length === 1);
  expect((await db.query('select from muster.queue where due_at <= now()')).length).toBe(5);
  gate.resolve();
  await until(ended(db, 6), 15_000);
  await engine.stop();
  expect(sizesOf(calls)).toEqual([6, 1, 1, 1, 1, 1, 1]);
}, 30_000);

test('while calls occupy all slots, the process waits without looking for further sets', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  const { definition, calls } = batched(
    (sets) => (keysOf(sets)[0]!.startsWith('slow') ? gate.promise : undefined),
    { size: 1 },
  );
  const engine = await start(db, [definition], { CONCURRENCY: '2' });
  await complete(engine, keys(100)); // calls count as fast
  await until(ended(db, 100));
  const slow = Array.from({ length: 600 }, (_, i) => `slow ${i}`); // more than are leased ahead
  await complete(engine, slow);
  await until(() => calls.length === 102);
  await sleep(200);
  expect((await db.query('select from muster.queue')).length).toBeGreaterThan(0);
  const before = performance.eventLoopUtilization();
  await sleep(500);
  expect(performance.eventLoopUtilization(before).utilization).toBeLessThan(0.7);
  gate.resolve();
  await until(ended(db, 700), 15_000);
  await engine.stop();
});

test('an event that no outbox can store fails its set alone', async ({ db }) => {
  const definition: FunctionDefinition = {
    ...batchable({ retry: { attempts: 1 } }),
    batch: { size: 4, wait: WAIT },
    handleAll: (sets) =>
      sets.map(({ keyText }) => [{ type: 'x', subject: keyText === 'k1' ? 'a\0' : keyText }]),
  };
  const engine = await start(db, [definition]);
  await complete(engine, keys(4));
  await until(ended(db, 4));
  await engine.stop();
  expect((await runsOf(db)).map(({ state }) => state)).toEqual(['done', 'failed', 'done', 'done']);
  expect((await db.query('select from muster.outbox where type = $1', ['x'])).length).toBe(3);
});

test('a fault of the database releases all sets of a call, and no attempt is counted', async ({
  db,
}) => {
  let faults = 0;
  const { definition, calls } = batched(
    async (_sets, { tx }) => {
      if (faults++ > 0) return;
      await db.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'muster handler'`,
      );
      await tx.query('select 1');
    },
    { size: 4, wait: WAIT },
    { retry: { attempts: 1 } },
  );
  const engine = await start(db, [definition]);
  await complete(engine, keys(4));
  await until(ended(db, 4));
  await engine.stop();
  expect((await effects(db)).runs).toEqual(runIds(keys(4)));
  expect(sizesOf(calls)).toEqual([4, 4]);
  expect((await runsOf(db)).every(({ state, attempt }) => state === 'done' && attempt === 1)).toBe(
    true,
  );
});

test('a shutdown releases all sets of a call, and those of a batch that still waits', async ({
  db,
}) => {
  const { definition, calls } = batched(() => new Promise(() => {}), { size: 2, wait: '1 minute' });
  const engine = await start(db, [definition], { DRAIN_SECONDS: '0', CONCURRENCY: '2' });
  await complete(engine, keys(3));
  await until(() => calls.length === 1);
  await engine.stop();
  const runs = await runsOf(db);
  expect(runs.map(({ state, attempt }) => [state, attempt])).toEqual(runs.map(() => ['ready', 0]));
  expect([runs.length, await misplaced(db)]).toEqual([3, []]);
});

test('a full batch does not wait, and a smaller one not longer than it may', async ({ db }) => {
  const { definition, calls } = batched(() => {}, { size: 2, wait: '2 seconds' });
  const engine = await start(db, [definition]);
  const begun = performance.now();
  await complete(engine, keys(3));
  await until(ended(db, 2));
  expect(performance.now() - begun).toBeLessThan(2_000);
  await until(ended(db, 3));
  expect(performance.now() - begun).toBeGreaterThan(2_000);
  await engine.stop();
  expect(calls.map(({ length }) => length)).toEqual([2, 1]);
});

test('a batch takes one slot: other functions run beside it, and it fills up in the only slot', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  const { definition, calls } = batched(() => gate.promise, { size: 100, wait: WAIT });
  const other = pairOf({
    name: 'other',
    parts: { a: { table: 'public.other', key: 'k' } },
  });
  const engine = await start(db, [definition, other], { CONCURRENCY: '2' });
  await complete(engine, keys(40));
  await until(() => calls.length === 1);
  expect(calls[0]!.length).toBe(40);
  await engine.ingestor.ingest(change('c', 1e6, { id: 1, k: 'x' }, { stream: 'public.other' }));
  await until(ended(db, 1));
  gate.resolve();
  await until(ended(db, 41));
  await engine.stop();
});

test('a handler that writes nothing in its transaction marks each set done', async ({ db }) => {
  const pair = batchable();
  const definition: FunctionDefinition = { ...pair, batch: { size: 10 }, handleAll() {} };
  const engine = await start(db, [definition]);
  await complete(engine, keys(10));
  await until(ended(db, 10));
  await engine.stop();
  expect((await runsOf(db)).every(({ state }) => state === 'done')).toBe(true);
});

test.for<[name: string, returned: unknown, error: string]>([
  [
    'fewer lists than sets',
    [],
    'TerminalError: the handler of pair returned 0 lists of events for 1 sets: return one for each, in their order, or nothing',
  ],
  [
    'an object',
    {},
    'TerminalError: the handler of pair returned an object: return an array with the events of each set, or nothing',
  ],
  [
    'events without a list for each set',
    [{ type: 'x' }],
    'TerminalError: the handler of pair returned an object: return an array of events, or nothing',
  ],
])('a handler that returns %s fails its run', async ([, returned, error], { db }) => {
  const { definition } = batched(() => returned as ReturnType<HandleAll>, { size: 5 });
  const engine = await start(db, [definition]);
  await complete(engine, ['x']);
  await until(ended(db, 1));
  await engine.stop();
  expect(await db.query('select state, error from muster.sets')).toEqual([
    { state: 'failed', error },
  ]);
  expect((await effects(db)).runs).toEqual([]);
});

test('runFunction calls handleAll', async ({ db }) => {
  const pair = batchable();
  const definition: FunctionDefinition = {
    ...pair,
    batch: { size: 2, wait: '30 seconds' }, // it is full with both sets, however long their rows take
    handleAll: (sets) =>
      sets.map(({ runId, attempt }) => [{ type: 'x', data: { runId, attempt, of: sets.length } }]),
  };
  const rows = ['x', 'y'].flatMap((k) =>
    ['a', 'b'].map((kind, id) => ({ table: 'public.item', row: { id: `${k}${id}`, k, kind } })),
  );
  const { sets, events, errors } = await runFunction(definition, rows, { databaseUrl: db.url });
  expect([sets.map(({ status }) => status), errors]).toEqual([['done', 'done'], []]);
  expect(events.map(({ data }) => data)).toEqual(
    ['x', 'y'].map((key) => ({ runId: `pair/${key}/1`, attempt: 1, of: 2 })),
  );
});
