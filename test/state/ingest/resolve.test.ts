import { expect } from 'vitest';
import { defineFunction } from '../../../src/function.ts';
import { UNAVAILABLE } from '../../../src/state/change.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change } from '../../support/changes.ts';
import { pairOf } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { miscounted, setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';
import { until } from '../../support/until.ts';

const missing = UNAVAILABLE;

test('a key that was not sent is taken from the stored row', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  expect(await worker.ingestor.ingest(change('u', 2, { id: 1, k: missing, kind: 'b' }))).toEqual({
    kind: 'ingested',
  });
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 1], fresh: 1 }]);
});

test('a filter column that was not sent is taken from the stored row', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('u', 2, { id: 1, k: 'y', kind: missing }));
  expect((await setsOf(db)).map(({ key, counts }) => [key, counts])).toEqual([
    ['x', [0, 0]],
    ['y', [1, 0]],
  ]);
});

test('a filter column that was not sent stays known while the row is in no set', async ({ db }) => {
  const where = { kind: 'a', state: 's' };
  const key = { table: 'public.item', key: 'k' };
  const served = defineFunction({
    name: 'held',
    parts: { a: { ...key, where }, b: { ...key, where: { kind: 'b' } } },
    handle() {},
  });
  const worker = await workerOn(db, [served]);
  const away = [
    { k: null, kind: missing, state: missing }, // a null in the key
    { k: 'x', kind: missing, state: 't' }, // another filter rejects it
  ];
  for (const [i, left] of away.entries()) {
    const id = i + 1;
    const history = [
      change('c', 1, { id, k: 'x', kind: 'a', state: 's' }),
      change('u', 2, { id, ...left }),
      change('u', 3, { id, k: 'x', kind: missing, state: 's' }),
    ];
    for (const each of history) {
      expect(await worker.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
    }
  }
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [2, 0], fresh: 2 }]);
  expect(await miscounted(db)).toEqual([]);
});

test('a key beyond 2^53 that was not sent stays exact', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const k = JSON.rawJSON('9007199254740993');
  await worker.ingestor.ingest(change('c', 1, { id: 1, k, kind: 'a' }));
  await worker.ingestor.ingest(change('u', 2, { id: 1, k: missing, kind: 'b' }));
  expect(await setsOf(db)).toEqual([{ key: '9007199254740993', counts: [0, 1], fresh: 1 }]);
});

test('if nothing is known about the row, the event is parked with a remedy', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const unknown = change('u', 2, { id: 1, k: missing, kind: 'a' });
  const detail =
    "column 'k' of public.item was not sent, and nothing is known of the row: its table needs REPLICA IDENTITY FULL, for which 'muster doctor --source <url>' lists the statements";
  expect(await worker.ingestor.ingest(unknown)).toEqual({
    kind: 'parked',
    reason: 'unavailable-column',
    detail,
  });
  await worker.ingestor.ingest(change('d', 1, { id: 1 }));
  expect(await worker.ingestor.ingest(unknown)).toEqual({
    kind: 'parked',
    reason: 'unavailable-column',
    detail,
  });
  expect(await setsOf(db)).toEqual([]);
});

test('of the values that several parts store, the newest counts', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  // Part a has the row as first created; its delete has not arrived, and the row as created again is only in part b.
  await worker.ingestor.ingest(change('u', 1, { id: 1, k: 'old', kind: 'a' }));
  await worker.ingestor.ingest(change('c', 3, { id: 1, k: 'new', kind: 'b' }));
  await worker.ingestor.ingest(change('u', 4, { id: 1, k: missing, kind: 'b' }));
  await worker.ingestor.ingest(change('d', 2, { id: 1 }));
  const held = (await setsOf(db)).filter(({ fresh }) => fresh > 0);
  expect(held).toEqual([{ key: 'new', counts: [0, 1], fresh: 1 }]);
});

test('a change that depends on the stored row waits for another worker that changes it', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const otherPod = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  const moving = otherPod.ingestor.ingest(change('u', 2, { id: 1, k: 'y', kind: 'a' }));
  await blocked(db, 1);
  const knowing = worker.ingestor.ingest(change('u', 3, { id: 1, k: missing, kind: 'b' }));
  await blocked(db, 2);
  await release();
  await Promise.all([moving, knowing]);
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([
    { key: 'y', counts: [0, 1], fresh: 1 },
  ]);
  expect(await miscounted(db)).toEqual([]);
});

test('a key that was not sent follows the version that carried it, even if that version arrives later', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const created = change('c', 1, { id: 1, k: 'x', kind: 'a' });
  const moved = change('u', 2, { id: 1, k: 'y', kind: 'a' });
  const touched = change('u', 3, { id: 1, k: missing, kind: 'a' });
  for (const each of [created, touched, moved]) await worker.ingestor.ingest(each);
  const held = async () => (await setsOf(db)).filter(({ fresh }) => fresh > 0);
  expect(await held()).toEqual([{ key: 'y', counts: [1, 0], fresh: 1 }]);
  // redelivered in any order, they change nothing
  for (const each of [moved, created, touched]) await worker.ingestor.ingest(each);
  expect(await held()).toEqual([{ key: 'y', counts: [1, 0], fresh: 1 }]);
  expect(await miscounted(db)).toEqual([]);
});

test('a filter column that was not sent follows the version that carried it, even if that version arrives later', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('u', 4, { id: 1, k: 'x', kind: missing }));
  await worker.ingestor.ingest(change('u', 2, { id: 1, k: 'x', kind: 'b' }));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 1], fresh: 1 }]);
  await worker.ingestor.ingest(change('u', 3, { id: 1, k: 'x', kind: 'none' }));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 0], fresh: 0 }]);
  await worker.ingestor.ingest(change('u', 5, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('u', 3, { id: 1, k: 'x', kind: 'none' }));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 0], fresh: 1 }]);
});

test('with changes that lack their key, in any order, the row ends where its newest version put it', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const history = [
    change('c', 1, { id: 1, k: 'x', kind: 'a' }),
    change('u', 2, { id: 1, k: missing, kind: 'b' }),
    change('u', 3, { id: 1, k: 'y', kind: missing }),
    change('u', 4, { id: 1, k: missing, kind: 'a' }),
    change('u', 5, { id: 1, k: missing, kind: 'b' }),
  ];
  // after the first two, in any order, enough is known that none of the others is parked
  for (const [n, order] of permutations([2, 3, 4]).entries()) {
    const row = (i: number) => ({ ...history[i]!, row: { ...history[i]!.row, id: n } });
    for (const i of [0, 1, ...order, ...order.toReversed()]) await worker.ingestor.ingest(row(i));
  }
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([
    { key: 'y', counts: [0, 6], fresh: 6 },
  ]);
  expect(await db.query('select from muster.parked')).toEqual([]);
  expect(await miscounted(db)).toEqual([]);
});

test('values from two concurrent changes of a row are merged, even if a part had no row to lock', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const other = await workerOn(db, [pairOf()]);
  // accepted by part b, so that part a has no row
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'b' }));
  const release = await hold(db, `select from muster.member for update`);
  const newer = worker.ingestor.ingest(change('u', 3, { id: 1, k: 'y', kind: missing }));
  await blocked(db, 1);
  const older = other.ingestor.ingest(change('u', 2, { id: 1, k: missing, kind: 'a' }));
  await blocked(db, 2);
  await release();
  await Promise.all([newer, older]);
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([
    { key: 'y', counts: [1, 0], fresh: 1 },
  ]);
  expect(await miscounted(db)).toEqual([]);
});

test('a change built without knowing a row that another worker was about to commit is built again', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const other = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'old', kind: 'a' }));
  await worker.ingestor.ingest(change('c', 1, { id: 2, k: 'new', kind: 'a' }));
  const release = await hold(db, `select from muster.sets where key = 'new' for update`);
  // the row is created again, in another part; not committed yet
  const second = worker.ingestor.ingest(change('c', 3, { id: 1, k: 'new', kind: 'b' }));
  await blocked(db, 1);
  const touched = other.ingestor.ingest(change('u', 4, { id: 1, k: missing, kind: 'b' }));
  await blocked(db, 2);
  await release();
  await Promise.all([second, touched]);
  await worker.ingestor.ingest(change('d', 2, { id: 1 }));
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([
    { key: 'new', counts: [1, 1], fresh: 2 },
  ]);
  expect(await miscounted(db)).toEqual([]);
});

test("a change that lacks its key and another worker's batch never deadlock", async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const other = await workerOn(db, [pairOf()]);
  for (let id = 1; id <= 20; id++) {
    await worker.ingestor.ingest(change('c', 1, { id, k: 'x', kind: 'b' }));
    const release = await hold(db, 'lock table muster.barrier in share mode');
    const full = other.ingestor.ingest(change('u', 2, { id, k: 'y', kind: 'a' }));
    await blocked(db, 1);
    const lacking = worker.ingestor.ingest(change('u', 3, { id, k: missing, kind: 'b' }));
    await blocked(db, 2);
    await release();
    await Promise.all([full, lacking]);
  }
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([
    { key: 'y', counts: [0, 20], fresh: 20 },
  ]);
  // a connection reports its deadlocks before it ends
  await Promise.all([worker.close(), other.close()]);
  await until(async () => {
    const open = await db.query(
      `select from pg_stat_activity where datname = current_database() and application_name like 'muster%'`,
    );
    return open.length === 0;
  });
  expect(
    await db.query('select deadlocks from pg_stat_database where datname = current_database()'),
  ).toEqual([{ deadlocks: '0' }]);
});

test('a row that is created again, and arrives late, leaves the part that it was in before', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('u', 4, { id: 1, k: 'x', kind: missing }));
  await worker.ingestor.ingest(change('c', 3, { id: 1, k: 'x', kind: 'b' }));
  await worker.ingestor.ingest(change('d', 2, { id: 1 }));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 1], fresh: 1 }]);
});

test('a change of a row that has been deleted since is not parked because of missing columns', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const changes = [
    change('c', 1, { id: 1, k: 'x', kind: 'a' }),
    change('u', 2, { id: 1, k: missing, kind: 'b' }),
    change('d', 3, { id: 1 }),
  ];
  // as if the topic was read again
  for (const each of [...changes, ...changes]) {
    expect(await worker.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
  }
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 0], fresh: 0 }]);
});

test('a row is not mistaken for another one that has the same id in another column', async ({
  db,
}) => {
  const worker = await workerOn(db, [
    pairOf({
      parts: {
        a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
        b: { table: 'public.item', key: 'k', where: { kind: 'b' }, id: 'reference' },
      },
    }),
  ]);
  await worker.ingestor.ingest(change('u', 1, { id: 1, reference: 2, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('u', 2, { id: 2, reference: 3, k: 'y', kind: 'a' }));
  await worker.ingestor.ingest(change('u', 3, { id: 1, reference: 2, k: missing, kind: 'b' }));
  expect((await setsOf(db)).map(({ key, counts }) => [key, counts])).toEqual([
    ['x', [0, 1]],
    ['y', [1, 0]],
  ]);
});

test('a filter column of one part is known from a create that only another part accepted', async ({
  db,
}) => {
  const worker = await workerOn(db, [
    pairOf({
      parts: {
        a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
        b: { table: 'public.item', key: 'k', where: { state: 's' } },
      },
    }),
  ]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'b', state: 's' }));
  const touched = change('u', 2, { id: 1, k: 'x', kind: missing, state: 't' });
  expect(await worker.ingestor.ingest(touched)).toEqual({ kind: 'ingested' });
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 0], fresh: 0 }]);
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) =>
    permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]),
  );
}
