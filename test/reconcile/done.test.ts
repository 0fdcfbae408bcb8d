/** What is done stays done, whatever is known of it, and history does not run. */
import { expect } from 'vitest';
import { replaceSource } from '../../src/state/ingest/sources.ts';
import { purge } from '../../src/state/purge.ts';
import { read } from '../support/changes.ts';
import { pairOf } from '../support/pair.ts';
import { runsOf, setsOf } from '../support/state.ts';
import { test } from '../support/test.ts';
import { workerOn, type TestWorker } from '../support/worker.ts';
import { itemsOf, past, reconciled } from './reconciled.ts';

const BOTH = `(1, 'x', 'a', ''), (2, 'x', 'b', '')`;
const repairs = { repairs: true };
const brief = pairOf({ keepFor: '0 seconds' });
const forgetful = pairOf({ keepFor: '0 seconds', forgetAfter: '0 seconds' });

/** The rows 1 and 2 of set x arrive, at most with their history, and its run ends. */
async function runX(worker: TestWorker): Promise<void> {
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(past('c', 2, { id: 2, k: 'x', kind: 'b' }));
  for (const lease of worker.leases.splice(0)) await worker.runs.finish([{ lease, events: [] }]);
}

async function purged(worker: TestWorker, definition = brief, tombstoneSeconds = 0): Promise<void> {
  await purge(worker.database, [{ definition, served: worker.served[0]! }], { tombstoneSeconds });
}

test('rows of a set that is done and purged are not missing', async ({ db }) => {
  await itemsOf(db, BOTH);
  const worker = await workerOn(db, [brief], { slots: 1 });
  await runX(worker);
  for (const tombstones of [3600, 0]) {
    await purged(worker, brief, tombstones);
    expect(await db.query('select from muster.member where in_set')).toEqual([]);
    expect(await reconciled(db, worker, repairs)).toMatchObject({ differences: [] });
  }
});

test('a row of a purged set that moved to another set is missing there', async ({ db }) => {
  await itemsOf(db, `(1, 'y', 'a', ''), (2, 'x', 'b', '')`);
  const worker = await workerOn(db, [brief], { slots: 1 });
  await runX(worker);
  await purged(worker, brief, 3600);
  expect(await reconciled(db, worker, repairs)).toMatchObject({
    differences: [{ id: '1', kind: 'missing', key: 'y' }],
    repaired: 1,
  });
});

test('rows of sets that may be done and forgotten run again only if asked to', async ({ db }) => {
  await itemsOf(db, BOTH);
  const worker = await workerOn(db, [forgetful], { slots: 1 });
  await runX(worker);
  await purged(worker, forgetful);
  expect(await runsOf(db)).toEqual([]);
  expect(await reconciled(db, worker, repairs)).toMatchObject({ differences: [], forgotten: 2 });
  // a row that changes makes the set known again, but not that it was done
  await worker.ingestor.ingest(past('u', 3, { id: 1, k: 'x', kind: 'a' }));
  expect(await reconciled(db, worker, repairs)).toMatchObject({ differences: [], forgotten: 1 });
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 0], fresh: 1 }]);
  const all = { repairs: true, rerunsForgotten: true, trusts: true };
  expect(await reconciled(db, worker, all)).toMatchObject({ repaired: 1, forgotten: 0 });
  expect(await runsOf(db)).toMatchObject([{ key: 'x', revision: 2, state: 'ready' }]);
});

test('history that was forgotten does not run, although no run was ever forgotten', async ({
  db,
}) => {
  await itemsOf(db, BOTH);
  const worker = await workerOn(db, [forgetful], { slots: 1 });
  const at = -120_000;
  await worker.ingestor.ingest(read(at, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(read(at, { id: 2, k: 'x', kind: 'b' }));
  await worker.ingestor.ingest(past('c', 1, { id: 3, k: null, kind: 'a' }));
  expect(await runsOf(db)).toMatchObject([{ state: 'done', revision: 0 }]);
  await purged(worker, forgetful);
  expect(await db.query('select from muster.sets')).toEqual([]);
  expect(await reconciled(db, worker, repairs)).toMatchObject({ differences: [], forgotten: 2 });
});

test('while only a snapshot has arrived nothing is corrected: its rows are history', async ({
  db,
}) => {
  await itemsOf(db, BOTH);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(read(-120_000, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(read(-120_000, { id: 3, k: 'y', kind: 'b' }));
  await db.query(`insert into item values (3, 'y', 'b', '')`);
  const snapshotOnly = await reconciled(db, worker, repairs);
  // another table is already streamed, and this one's snapshot still arrives
  await worker.ingestor.ingest(past('c', 1, { id: 4, k: 'z', kind: 'a' }));
  await db.query(`insert into item values (4, 'z', 'a', '')`);
  expect(await reconciled(db, worker, repairs)).toEqual({
    ...snapshotOnly,
    compared: { a: 4, b: 4 },
  });
  expect(snapshotOnly).toMatchObject({
    differences: [{ id: '2', kind: 'missing' }],
    repaired: 0,
    notRepaired: [
      'the first snapshot of test may not have arrived whole: rows of part b that it has not reached are missing, and are history. If it has, use --force',
    ],
  });
  expect(await runsOf(db)).toEqual([]);
  await db.query(`update muster.member set since = since - interval '1 hour'`);
  expect(await reconciled(db, worker, repairs)).toMatchObject({ repaired: 1, notRepaired: [] });
});

test('rows of a done set that got another row after its purge are not missing', async ({ db }) => {
  await itemsOf(db, BOTH);
  const worker = await workerOn(db, [brief], { slots: 1 });
  await runX(worker);
  await purged(worker);
  await worker.ingestor.ingest(past('u', 3, { id: 1, k: 'x', kind: 'a' }));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 0], fresh: 1 }]);
  expect(await reconciled(db, worker, repairs)).toMatchObject({ differences: [] });
});

test('a part that is new counts its rows as new only by force', async ({ db }) => {
  await itemsOf(db, BOTH);
  const worker = await workerOn(db, [pairOf({ history: 'run' })]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await db.query('update muster.part set unsynced_since = now() where name = $1', ['b']);
  expect(await reconciled(db, worker, repairs)).toMatchObject({
    differences: [{ id: '2', kind: 'missing' }],
    repaired: 0,
    notRepaired: [
      'part b is new or changed: all rows of its table that are not held count as new, and sets that they complete run. If that is wanted, use --force',
    ],
  });
  expect(await reconciled(db, worker, { ...repairs, trusts: true })).toMatchObject({ repaired: 1 });
});

test('rows that a restore of the source took away are removed in its new epoch', async ({ db }) => {
  await itemsOf(db, `(1, 'x', 'a', '')`);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(past('c', 2 ** 45, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(past('c', 2 ** 45 + 1, { id: 2, k: 'x', kind: 'b' }));
  await worker.positions.exchange();
  await replaceSource(worker.database, 'test', 'restored');
  await expect(reconciled(db, worker, { connector: 'test' })).rejects.toThrow(
    "the connector 'test' was replaced by restored",
  );
  expect(await reconciled(db, worker, repairs)).toMatchObject({
    differences: [{ id: '2', kind: 'gone' }],
    repaired: 1,
  });
});
