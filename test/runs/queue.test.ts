import { expect } from 'vitest';
import { purge } from '../../src/state/purge.ts';
import { discardRuns, retryFailed } from '../../src/state/runs/retry-sets.ts';
import { blocked, hold } from '../support/blocked.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { misplaced, runsOf } from '../support/state.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { workerOn } from '../support/worker.ts';

const queue = (db: TestDatabase) =>
  db.query(
    'select key, q.token from muster.queue q left join muster.sets using (function, key_hash) order by 1, 2',
  );
const leases = (db: TestDatabase) =>
  db.query<{ keys: number }>(
    'select cardinality(keys) as keys from muster.lease order by claim, chunk',
  );

test('rows of the queue without a run, or with an older token, start nothing and are dropped', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  await db.query(`
    insert into muster.queue (function, due_at, token, key_hash, is_suspect)
    select 1, now(), 0, muster.key_hash('x'), false
    union all select 1, now(), 1, muster.key_hash('nobody'), false`);
  expect(await worker.runs.claim(1, worker.id, 10)).toEqual([]);
  expect(await queue(db)).toEqual([]);
  await worker.runs.finish([{ lease: worker.leases[0]!, events: [] }]);
  await db.query(
    `insert into muster.queue (function, due_at, token, key_hash, is_suspect) select 1, now(), 1, muster.key_hash('x'), false`,
  );
  expect(await worker.runs.claim(1, worker.id, 10)).toEqual([]);
  expect([await queue(db), await misplaced(db)]).toEqual([[], []]);
});

test('stale rows of the queue do not delay the runs behind them', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await db.query(`
    insert into muster.queue (function, due_at, token, key_hash, is_suspect)
    select 1, now() - interval '1 hour', i, muster.key_hash('nobody ' || i), false from generate_series(1, 20) i`);
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  expect(await worker.runs.claim(1, worker.id, 5)).toMatchObject([{ key: 'x' }]);
});

test('a run whose set looks incomplete but is being changed stays in the queue', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  for (const each of [partA(), partB(), partB('x', 'd')]) await worker.ingestor.ingest(each);
  const release = await hold(db, 'update muster.sets set complete = true');
  expect(await worker.runs.claim(1, worker.id, 10)).toEqual([]);
  await release();
  expect(await queue(db)).toEqual([{ key: 'x', token: '1' }]);
  expect(await worker.runs.claim(1, worker.id, 10)).toMatchObject([{ key: 'x', token: 1 }]);
});

test('a failed run that begins again leaves no row of its failure behind', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  await worker.runs.fail(worker.leases.splice(0)[0]!, 'never', null);
  expect(await queue(db)).toEqual([{ key: 'x', token: '1' }]);
  await worker.ingestor.ingest(partA());
  expect(worker.leases).toMatchObject([{ token: 2, attempt: 1 }]);
  expect(await queue(db)).toEqual([]);
});

test('runs of one statement are leased in rows of at most 48, which end with the last of them', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const keys = Array.from({ length: 100 }, (_, i) => `key ${i}`);
  await Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => worker.ingestor.ingest(each)),
  );
  const claimed = await worker.runs.claim(1, worker.id, 100);
  expect((await leases(db)).map((each) => each.keys)).toEqual([48, 48, 4]);
  const claims = [...new Set(claimed.map(({ claim }) => claim))];
  const [last, ...others] = claimed.toReversed();
  await worker.runs.finish(others.map((lease) => ({ lease, events: [] })));
  await worker.runs.endClaims(claims);
  expect(await leases(db)).toHaveLength(1);
  expect(await misplaced(db)).toEqual([]);
  await worker.runs.finish([{ lease: last!, events: [] }]);
  await worker.runs.endClaims(claims);
  expect(await leases(db)).toEqual([]);
});

test('a renewal returns the runs that are held, and deletes leases whose runs have ended', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const key of ['x', 'y']) {
    for (const each of [partA(key), partB(key)]) await worker.ingestor.ingest(each);
  }
  const [x, y] = worker.leases;
  await worker.runs.finish([{ lease: x!, events: [] }]);
  expect(await leases(db)).toHaveLength(2);
  const held = await worker.runs.renew(worker.id, 600);
  expect(held).toEqual([{ ...y, keyHash: held![0]!.keyHash, since: held![0]!.since }]);
  expect(await leases(db)).toHaveLength(1);
});

test('the lease of a set that is locked stays until the next reaping', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  await worker.runs.deregister(worker.id);
  const release = await hold(db, 'select from muster.sets for update');
  expect(await worker.runs.reapExpired()).toBe(0);
  expect(await leases(db)).toHaveLength(1);
  await release();
  expect(await worker.runs.reapExpired()).toBe(1);
  expect([await leases(db), await misplaced(db)]).toEqual([[], []]);
});

test('a run that was created leased ahead of a slot is not charged an attempt when its process dies', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  worker.slots = 1;
  worker.ahead = 1;
  await Promise.all(
    ['x', 'y', 'z']
      .flatMap((key) => [partA(key), partB(key)])
      .map((each) => worker.ingestor.ingest(each)),
  );
  expect(worker.leases).toHaveLength(2);
  expect(await queue(db)).toHaveLength(1);
  await worker.runs.deregister(worker.id);
  await worker.runs.reapExpired();
  expect((await runsOf(db)).filter(({ attempt }) => attempt === 1)).toHaveLength(1);
});

test('queue and leases are empty once everything has run', async ({ db }) => {
  const engine = await engineOn(db, [pairOf()], { CONCURRENCY: '4', LEASE_SECONDS: '600' });
  const keys = Array.from({ length: 200 }, (_, i) => `key ${i}`);
  await Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => engine.ingestor.ingest(each)),
  );
  await until(
    async () => (await runsOf(db)).filter(({ state }) => state === 'done').length === 200,
  );
  await until(async () => (await leases(db)).length === 0);
  expect(await queue(db)).toEqual([]);
  await engine.stop();
});

test('the row of a failure that a start of the run did not see is purged, and that of a failure is not', async ({
  db,
}) => {
  const definition = pairOf();
  const worker = await workerOn(db, [definition], { slots: 2 });
  const other = await workerOn(db, [definition], { slots: 1 });
  for (const key of ['x', 'y']) {
    for (const each of [partA(key), partB(key)]) await worker.ingestor.ingest(each);
  }
  const [x, y] = worker.leases;
  await worker.runs.fail(y!, 'never', null);
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  const failing = worker.runs.fail(x!, 'never', null);
  await blocked(db, 1);
  const starting = other.ingestor.ingest(partA());
  await blocked(db, 2);
  await release();
  await Promise.all([failing, starting]);
  expect(await queue(db)).toHaveLength(2);
  await purge(worker.database, [{ definition, served: worker.served[0]! }], {
    tombstoneSeconds: 1,
  });
  expect(await queue(db)).toEqual([{ key: 'y', token: '1' }]);
});

test.for([
  ['retried', retryFailed],
  ['discarded', discardRuns],
] as const)('a run that began and failed again meanwhile is not %s', async ([, work], { db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 2 });
  const other = await workerOn(db, [pairOf()]);
  // p before q, by their hashes
  for (const key of ['p', 'q']) {
    for (const each of [partA(key), partB(key)]) await worker.ingestor.ingest(each);
  }
  for (const lease of worker.leases.splice(0)) await worker.runs.fail(lease, 'never', null);
  const release = await hold(db, `select from muster.sets where key = 'p' for update`);
  const working = work(other.database, 1, null);
  await blocked(db, 1);
  await worker.ingestor.ingest(partA('q'));
  await worker.runs.fail(worker.leases.splice(0)[0]!, 'again', null);
  await release();
  expect(await working).toBe(1);
  expect((await runsOf(db)).find(({ key }) => key === 'q')).toMatchObject({ state: 'failed' });
  expect(await misplaced(db)).toEqual([]);
});
