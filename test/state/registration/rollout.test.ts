/** An old and a new release side by side, in a rollout and a rollback. */
import { expect } from 'vitest';
import { queriesOf } from '../../../src/state/database/database.ts';
import { explain } from '../../../src/state/queries/explain.ts';
import { clearParts, markResynced, unsyncedParts } from '../../../src/state/registration/parts.ts';
import { partsOf } from '../../../src/definitions/registered-function.ts';
import { loadMembers } from '../../../src/state/runs/load-members.ts';
import { specify } from '../../../src/definitions/specification.ts';
import { register } from '../../../src/state/registration/register.ts';
import { purge } from '../../../src/state/purge.ts';
import { requireCurrent } from '../../../src/state/registration/current.ts';
import { reEvaluate } from '../../../src/state/ingest/re-evaluate.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change, truncate } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { workerOn, workerWith, type TestWorker } from '../../support/worker.ts';
import { misjudged, miscounted, runsOf, setsOf } from '../../support/state.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const part = (kind: string, more = {}) => ({
  table: 'public.item',
  key: 'k',
  where: { kind },
  ...more,
});
const both = pairOf();
const either = pairOf({ complete: { atLeast: 1, of: ['a', 'b'] } });
const withC = pairOf({ parts: { a: part('a'), c: part('c') } });
const elsewhere = pairOf({ parts: { a: part('a'), b: { table: 'public.other', key: 'k' } } });
const superseded = { name: 'Unavailable', reason: 'superseded' };

/** A row of another table. */
const ofOther = (lsn: number) => change('c', lsn, { id: lsn, k: 'x' }, { stream: 'public.other' });

/** A worker of the old release, while its successor registers. */
async function outdated(
  db: TestDatabase,
  next = either,
): Promise<{ old: TestWorker; young: TestWorker }> {
  const old = await workerOn(db, [both]);
  return { old, young: await workerOn(db, [next]) };
}

/** Deletes the function's row, as if the database was created again. */
const loseRegistration = async (db: TestDatabase) => {
  await db.query('delete from muster.part');
  await db.query('delete from muster.definition');
  await db.query('delete from muster.function');
};

test('a worker of an older definition claims nothing, in either direction', async ({ db }) => {
  const { old, young } = await outdated(db);
  await young.ingestor.ingest(partA());
  expect(await old.runs.claim(1, old.id, 10)).toEqual([]);
  expect(await old.runs.claimLimited(1, old.id, 10, 5)).toEqual([]);
  await register(young.database, specify(both), true);
  const back = await workerOn(db, [both]);
  await back.ingestor.ingest(partB());
  expect(await young.runs.claim(1, young.id, 10)).toEqual([]);
  expect(await back.runs.claim(1, back.id, 10)).toMatchObject([{ key: 'x' }]);
});

test('a claim that a registration overtakes leases nothing', async ({ db }) => {
  const old = await workerOn(db, [both]);
  for (const each of [partA(), partB()]) await old.ingestor.ingest(each);
  const release = await hold(db, 'lock table muster.part in exclusive mode');
  const registering = workerOn(db, [
    pairOf({ parts: { a: part('a'), b: part('b'), c: part('c') } }),
  ]);
  await blocked(db, 1, '%muster.part%');
  // The registration holds the barrier: the claim waits, and takes its snapshot afterwards.
  const claiming = old.runs.claim(1, old.id, 10);
  await blocked(db, 1, '-- Leases due runs%');
  await release();
  await registering;
  expect(await claiming).toEqual([]);
});

test('an older worker leaves a truncate to the newer ones, and removes no row of another table', async ({
  db,
}) => {
  const { old, young } = await outdated(db, elsewhere);
  await young.ingestor.ingest(partA('x'));
  await young.ingestor.ingest(ofOther(5));
  await expect(old.ingestor.ingest(truncate(1_000_000))).rejects.toMatchObject(superseded);
  expect(await db.query('select part_index from muster.truncation')).toEqual([]);
  await young.ingestor.ingest(truncate(1_000_000));
  await young.ingestor.ingest(ofOther(6));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 2], fresh: 2 }]);
});

test('a truncate and a registration are serialized', async ({ db }) => {
  const old = await workerOn(db, [both]);
  await old.ingestor.ingest(partB('x'));
  const release = await hold(db, 'select from muster.function for update');
  const registering = workerOn(db, [withC]);
  await blocked(db, 1, '%muster.function%for update');
  const truncating = old.ingestor.ingest(truncate(1_000_000)).catch((error: unknown) => error);
  await blocked(db, 2, '%muster.function%');
  await release();
  await registering;
  expect(await truncating).toMatchObject(superseded);
  expect(await db.query('select part_index from muster.truncation')).toEqual([]);
});

test('a new part inherits the truncate of its table', async ({ db }) => {
  const old = await workerOn(db, [both]);
  await old.ingestor.ingest(truncate(1_000_000));
  const young = await workerOn(db, [withC]);
  await young.ingestor.ingest(change('c', 7, { id: 7, k: 'x', kind: 'c' }));
  expect(await setsOf(db)).toEqual([]);
  await young.ingestor.ingest(change('c', 1_000_007, { id: 8, k: 'x', kind: 'c' }));
  expect(await setsOf(db)).toMatchObject([{ key: 'x', fresh: 1 }]);
});

test('an older worker does not acknowledge an event of a table that only the newer definition uses', async ({
  db,
}) => {
  const { old, young } = await outdated(db, elsewhere);
  const event = change('c', 5, { id: 5, k: 'x' }, { stream: 'public.other' });
  await expect(old.ingestor.ingest(event)).rejects.toMatchObject(superseded);
  expect(old.ingestor.closed).toMatchObject(superseded);
  expect(await young.ingestor.ingest(event)).toEqual({ kind: 'ingested' });
});

test('a check that was sent before the event arrived does not count for it', async ({ db }) => {
  const old = await workerOn(db, [both]);
  const release = await hold(db, 'lock table muster.function');
  const first = old.ingestor.ingest(ofOther(1));
  await blocked(db, 1);
  // These arrive during the first check, and share the next one.
  const later = [2, 3, 4].map((lsn) =>
    old.ingestor.ingest(ofOther(lsn)).catch((error: unknown) => error),
  );
  await release();
  expect(await first).toEqual({ kind: 'unwanted' });
  expect(await Promise.all(later)).toEqual([2, 3, 4].map(() => ({ kind: 'unwanted' })));
  await workerOn(db, [elsewhere]);
  await expect(old.ingestor.ingest(ofOther(5))).rejects.toMatchObject(superseded);
});

test('an older worker parks nothing, because the newer definition may accept the event', async ({
  db,
}) => {
  const { old, young } = await outdated(db);
  const event = change('c', 5, { id: 5, k: ['no', 'key'], kind: 'a' });
  await expect(old.ingestor.ingest(event)).rejects.toMatchObject(superseded);
  expect(await db.query('select from muster.parked')).toEqual([]);
  expect(await young.ingestor.ingest(event)).toMatchObject({ kind: 'parked' });
  expect(await db.query('select functions from muster.parked')).toEqual([{ functions: ['pair'] }]);
});

test('an older worker does not park an event that is not a change, either', async ({ db }) => {
  const { old, young } = await outdated(db);
  const { origin } = partA();
  await expect(old.ingestor.park(origin, 'not-a-change', 'text')).rejects.toMatchObject(superseded);
  expect(await db.query('select from muster.parked')).toEqual([]);
  await young.ingestor.park(origin, 'not-a-change', 'text');
  expect(await db.query('select reason from muster.parked')).toEqual([{ reason: 'not-a-change' }]);
});

test('a worker ingests nothing if one of its two functions is no longer registered', async ({
  db,
}) => {
  const worker = await workerOn(db, [both, pairOf({ name: 'other' })]);
  await db.query(`delete from muster.part where function = 2`);
  await db.query(`delete from muster.definition where function = 2`);
  await db.query(`delete from muster.function where name = 'other'`);
  await expect(worker.ingestor.ingest(partA())).rejects.toMatchObject(superseded);
  expect(await db.query('select from muster.member')).toEqual([]);
});

test('a worker whose functions are no longer registered ingests, claims and purges nothing', async ({
  db,
}) => {
  const worker = await workerOn(db, [both], { slots: 5 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  await loseRegistration(db);
  await expect(worker.ingestor.ingest(partA('y'))).rejects.toMatchObject({
    ...superseded,
    message: expect.stringContaining('function pair is not registered in this state database'),
  });
  await expect(worker.ingestor.ingest(truncate(1_000_000))).rejects.toMatchObject(superseded);
  const unwanted = change('c', 5, { id: 5 }, { stream: 'public.other' });
  await expect(worker.ingestor.ingest(unwanted)).rejects.toMatchObject(superseded);
  await expect(requireCurrent(worker.database, worker.served)).rejects.toMatchObject(superseded);
  expect(await worker.runs.claim(1, worker.id, 10)).toEqual([]);
});

test('another function with the same id and generation is not mistaken for it', async ({ db }) => {
  const worker = await workerOn(db, [both]);
  await loseRegistration(db);
  await db.query('alter table muster.function alter column id restart');
  const other = await workerOn(db, [pairOf({ name: 'other', keepFor: '365 days' })]);
  expect(other.served[0]).toMatchObject({ id: 1, generation: 1 });
  await other.ingestor.ingest(partA('x'));
  await expect(worker.ingestor.ingest(partB('x'))).rejects.toMatchObject(superseded);
  for (const each of [partB('x'), partA('y'), partB('y')]) await other.ingestor.ingest(each);
  expect(await worker.runs.claim(1, worker.id, 10)).toEqual([]);
  for (const lease of await other.runs.claim(1, other.id, 10)) {
    await other.runs.finish([{ lease, events: [] }]);
  }
  const purged = await purge(
    worker.database,
    [{ definition: { ...both, keepFor: '0 seconds' }, served: worker.served[0]! }],
    { tombstoneSeconds: 0 },
  );
  expect(purged).toEqual({ sets: 0, members: 0 });
});

test('a part that is added again has no earlier rows, and is unsynced until its table is read again', async ({
  db,
}) => {
  const old = await workerOn(db, [both]);
  for (const each of [partB('gone'), partA('stays'), partB('stays')]) {
    await old.ingestor.ingest(each);
  }
  const young = await workerOn(db, [withC]);
  await reEvaluate(young.database, young.store, young.served);
  // No part has rows of kind b at this time: that of 'gone' is deleted at the source, and the delete is not stored.
  await young.ingestor.ingest(change('d', 2_000_000, { id: 'gone-b' }));
  await register(young.database, specify(both), true);
  const back = await workerOn(db, [both]);
  await reEvaluate(back.database, back.store, back.served);
  await back.ingestor.ingest(change('c', 2_000_001, { id: 'gone-a', k: 'gone', kind: 'a' }));
  expect((await runsOf(db)).filter(({ complete }) => complete)).toEqual([]);
  expect(await unsyncedParts(back.database)).toMatchObject([
    { function: 'pair', part: 'b', table: 'public.item' },
  ]);
  const explained = await explain(queriesOf(back.database.control), 'pair', 'stays');
  expect(
    explained?.parts.map(({ part: name, have, unsyncedSince }) => [
      name,
      have,
      unsyncedSince !== null,
    ]),
  ).toEqual([
    ['a', 1, false],
    ['b', 0, true],
  ]);
  // An incremental snapshot reads the table.
  const row = { id: 'stays-b', k: 'stays', kind: 'b' };
  await back.ingestor.ingest(change('u', 2_000_002, row, { op: 'r', snapshot: 'incremental' }));
  expect((await runsOf(db)).filter(({ complete }) => complete)).toMatchObject([{ key: 'stays' }]);
  expect(await markResynced(back.database, 1, null)).toEqual(['b']);
  expect(await unsyncedParts(back.database)).toEqual([]);
});

test('the rows and counts of a former part are removed, and its index is reassigned', async ({
  db,
}) => {
  const old = await workerOn(db, [both]);
  for (const k of ['x', 'y', 'z']) {
    for (const each of [partA(k), partB(k)]) await old.ingestor.ingest(each);
  }
  await old.ingestor.ingest(partB('only'));
  const young = await workerOn(db, [withC]);
  await reEvaluate(young.database, young.store, young.served);
  const removed = await clearParts(young.database, 1, () => false);
  // u leaves a row in each part
  expect(removed).toBe(7);
  expect(await db.query('select distinct part_index as "partIndex" from muster.member')).toEqual([
    { partIndex: 1 },
  ]);
  expect([await miscounted(db), await misjudged(db)]).toEqual([[], []]);
  const last = await workerOn(db, [
    pairOf({ parts: { a: part('a'), c: part('c'), d: part('d') } }),
  ]);
  expect(Object.fromEntries(last.served[0]!.partIndexOf)).toEqual({ a: 1, c: 3, d: 2 });
});

test('a set that still has rows of a former part is loaded without them', async ({ db }) => {
  const old = await workerOn(db, [pairOf()]);
  for (const each of [partA(), partB()]) await old.ingestor.ingest(each);
  const { a } = pairOf().parts;
  const worker = await workerOn(db, [pairOf({ parts: { a: a! } })]);
  await reEvaluate(worker.database, worker.store, worker.served);
  const leases = await worker.runs.claim(1, worker.id, 1);
  const [set] = await loadMembers(worker.database, partsOf(worker.served), leases, 1e6);
  expect(set!.members).toMatchObject([{ partIndex: 1, columns: { id: 'x-a', k: 'x', kind: 'a' } }]);
});

test('the rows of a former part are removed during intake without a deadlock', async ({ db }) => {
  const old = await workerOn(db, [both]);
  for (const each of [partB('p'), partB('q'), partB('r')]) await old.ingestor.ingest(each);
  const young = await workerOn(db, [withC]);
  const release = await hold(db, `select from muster.sets where key = 'p' for update`);
  const ingesting = Promise.all(
    [partA('r'), partA('q'), partA('p')].map((each) => young.ingestor.ingest(each)),
  );
  await blocked(db, 1);
  const clearing = clearParts(young.database, 1, () => false);
  await blocked(db, 2);
  await release();
  await Promise.all([ingesting, clearing]);
  expect(await miscounted(db)).toEqual([]);
});

test('a part that stores a further column is unsynced; one that needs more rows is not', async ({
  db,
}) => {
  await workerOn(db, [both]);
  await workerOn(db, [pairOf({ parts: { a: part('a', { count: 2 }), b: part('b') } })]);
  const wide = await workerOn(db, [
    pairOf({ parts: { a: part('a', { columns: ['n'] }), b: part('b') } }),
  ]);
  expect(await unsyncedParts(wide.database)).toMatchObject([{ part: 'a' }]);
});

test('a function that is registered for the first time has no unsynced part', async ({ db }) => {
  const worker = await workerOn(db, [both]);
  expect(await unsyncedParts(worker.database)).toEqual([]);
});

test('a part whose base64 columns change is a new part', async ({ db }) => {
  await workerOn(db, [both]);
  const worker = await workerOn(db, [
    pairOf({ parts: { a: part('a', { base64: ['kind'] }), b: part('b') } }),
  ]);
  expect(await unsyncedParts(worker.database)).toMatchObject([{ part: 'a' }]);
});

test('a handler that started under the old definition completes its run, and the new one does not repeat it', async ({
  db,
}) => {
  const old = await workerOn(db, [both], { slots: 1 });
  for (const each of [partA(), partB()]) await old.ingestor.ingest(each);
  const young = await workerOn(db, [withC]);
  await reEvaluate(young.database, young.store, young.served);
  expect((await old.runs.finish([{ lease: old.leases[0]!, events: [] }])).size).toBe(1);
  await young.ingestor.ingest(change('c', 3_000_000, { id: 'c', k: 'x', kind: 'c' }));
  expect(await young.runs.claim(1, young.id, 10)).toEqual([]);
  expect(await runsOf(db)).toMatchObject([{ key: 'x', state: 'done', revision: 1 }]);
});

test('two workers of one definition, one restarted after a rollback, share the same part indexes', async ({
  db,
}) => {
  const { young } = await outdated(db, withC);
  await register(young.database, specify(both), true);
  const [first, second] = [await workerOn(db, [both]), await workerOn(db, [both])];
  expect(first.served).toEqual(second.served);
  const otherPod = await workerWith(first.database, first.served);
  expect(await otherPod.ingestor.ingest(partA())).toEqual({ kind: 'ingested' });
});
