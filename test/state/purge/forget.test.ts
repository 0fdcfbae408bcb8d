import { expect } from 'vitest';
import { purge } from '../../../src/state/purge.ts';
import { runIdOf } from '../../../src/runs/run-id.ts';
import { UNAVAILABLE } from '../../../src/state/change.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { workerOn, type TestWorker } from '../../support/worker.ts';
import { runsOf } from '../../support/state.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const forgetful = pairOf({ keepFor: '0 seconds', forgetAfter: '0 seconds' });

/** Rows are kept for a long time, and the run is forgotten at once. */
const kept = { ...forgetful, keepFor: '365 days' as const };

const purgeOf = (worker: TestWorker) =>
  purge(worker.database, [{ definition: forgetful, served: worker.served[0]! }], {
    tombstoneSeconds: 0,
  });

/** The set x has run, and all of its rows and its run were deleted. */
async function runAndForget(db: TestDatabase, worker: TestWorker): Promise<void> {
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  for (const lease of worker.leases.splice(0)) await worker.runs.finish([{ lease, events: [] }]);
  await purgeOf(worker);
  expect(await runsOf(db)).toEqual([]);
}

test('a worker that was paused while its run was forgotten and run again commits nothing', async ({
  db,
}) => {
  const worker = await workerOn(db, [forgetful], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  const [old] = worker.leases.splice(0);
  await worker.runs.release([old!]);
  const [lease] = await worker.runs.claim(1, worker.id, 1);
  await worker.runs.finish([{ lease: lease!, events: [] }]);
  await purgeOf(worker);
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  const [again] = worker.leases.splice(0);
  expect([old, lease, again].map((each) => each!.token)).toEqual([1, 2, 3]);
  expect((await worker.runs.finish([{ lease: old!, events: [] }])).size).toBe(0);
  expect((await worker.runs.finish([{ lease: lease!, events: [] }])).size).toBe(0);
  expect(runIdOf('pair', again!)).toBe('pair/x/2');
  expect(runIdOf('pair', old!)).toBe('pair/x/1');
});

test('a run that is created without a slot also gets its first token above the forgotten ones', async ({
  db,
}) => {
  const worker = await workerOn(db, [forgetful], { slots: 1 });
  await runAndForget(db, worker);
  worker.slots = 0;
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  expect(await worker.runs.claim(1, worker.id, 1)).toMatchObject([{ token: 2, revision: 2 }]);
});

test('a set that is ingested while its run is forgotten never gets a token again', async ({
  db,
}) => {
  const worker = await workerOn(db, [forgetful], { slots: 5 });
  for (const each of [partA('y'), partA(), partB()]) await worker.ingestor.ingest(each);
  for (const lease of worker.leases.splice(0)) await worker.runs.finish([{ lease, events: [] }]);
  // only forgetAfter has passed: the rows of x were removed by an earlier purge
  await db.query(`delete from muster.member where key_hash = muster.key_hash('x')`);
  await db.query(
    `update muster.sets set counts = '{0,0}', fresh = 0, complete = false, purged = true where key = 'x'`,
  );
  const otherPod = await workerOn(db, [forgetful], { slots: 5 });
  const release = await hold(db, `select from muster.sets where key = 'y' for update`);
  // has taken its snapshot, has ingested the set x, and will update the run later
  const ingesting = Promise.all(
    [partA(), partB(), partA('y')].map((each) => otherPod.ingestor.ingest(each)),
  );
  await blocked(db, 1);
  // waits for that batch at the barrier
  const purging = purge(worker.database, [{ definition: kept, served: worker.served[0]! }], {
    tombstoneSeconds: 86_400,
  });
  await blocked(db, 1, 'lock table%');
  await release();
  await Promise.all([ingesting, purging]);
  expect(otherPod.leases).toEqual([]);
  expect((await runsOf(db)).filter(({ key }) => key === 'x')).toMatchObject([
    { state: 'done', token: '1' },
  ]);
});

test('a run that ends while runs are forgotten is forgotten by the next purge', async ({ db }) => {
  const worker = await workerOn(db, [forgetful], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  for (const lease of worker.leases.splice(0)) await worker.runs.finish([{ lease, events: [] }]);
  await db.query(
    `insert into muster.run (function, key, revision, complete, state, token, attempt, due_at, created_at)
     values (1, 'y', 1, false, 'running', 5, 5, now(), now())`,
  );
  const release = await hold(db, 'select from muster.function for no key update');
  const purging = purgeOf(worker);
  await blocked(db, 1, 'select from muster.function%');
  await db.query(
    `update muster.run set state = 'done', finished_at = now() - interval '1 day' where key = 'y'`,
  );
  await db.query(`update muster.sets set purged = true where key = 'y'`);
  await release();
  await purging;
  expect(await runsOf(db)).toMatchObject([{ key: 'y', token: '5' }]);
  await purgeOf(worker);
  expect(await runsOf(db)).toEqual([]);
  expect(await db.query('select forgotten_token from muster.function')).toEqual([
    { forgotten_token: '5' },
  ]);
});

test('a run is not forgotten while its set has rows', async ({ db }) => {
  const worker = await workerOn(db, [forgetful], { slots: 2 });
  for (const each of [partA(), partB(), partA('y'), partB('y')]) {
    await worker.ingestor.ingest(each);
  }
  for (const lease of worker.leases.splice(0)) await worker.runs.finish([{ lease, events: [] }]);
  await worker.ingestor.ingest(change('d', 1e6, { id: 'x-b' }));
  // y is purged, so that this page has a run to forget
  await db.query(`delete from muster.member where key_hash = muster.key_hash('y')`);
  await db.query(
    `update muster.sets set counts = '{0,0}', fresh = 0, complete = false, purged = true where key = 'y'`,
  );
  // as of a part that stores further columns, so that they do not follow from the key
  await db.query(
    `update muster.member set literals = null, columns = '{"id": "x-a"}' where in_set`,
  );
  // the set stays, with one row
  await purge(worker.database, [{ definition: kept, served: worker.served[0]! }], {
    tombstoneSeconds: 86_400,
  });
  await worker.ingestor.ingest(change('c', 1e6 + 1, { id: 'x-c', k: 'x', kind: 'b' }));
  expect(worker.leases).toEqual([]);
  expect(await runsOf(db)).toMatchObject([{ key: 'x', state: 'done', complete: true }]);
});

test('a set is not forgotten while a purged row needs its key for columns that are not sent again', async ({
  db,
}) => {
  const worker = await workerOn(db, [forgetful], { slots: 1 });
  await worker.ingestor.ingest(change('c', 10, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('c', 11, { id: 2, k: 'x', kind: 'b' }));
  for (const lease of worker.leases.splice(0)) await worker.runs.finish([{ lease, events: [] }]);
  const functions = [{ definition: forgetful, served: worker.served[0]! }];
  await purge(worker.database, functions, { tombstoneSeconds: 86_400 });
  const update = change('u', 20, { id: 1, k: UNAVAILABLE, kind: 'a' });
  expect(await worker.ingestor.ingest(update)).toEqual({ kind: 'ingested' });
});
