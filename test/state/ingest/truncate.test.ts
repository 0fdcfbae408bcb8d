import { expect } from 'vitest';
import { UNAVAILABLE } from '../../../src/state/change.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change, truncate } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { misjudged, miscounted, runsOf, setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

const FAR = 1_000_000;

test('a truncate removes a row with an empty id, and what is known of a row in no set', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: '', k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('c', 2, { id: 'away', k: null, kind: 'a' }));
  await worker.ingestor.ingest(truncate(FAR));
  expect(await db.query('select from muster.member where in_set or columns is not null')).toEqual(
    [],
  );
  // created again, and the create has not arrived
  const touched = change('u', FAR + 2, { id: 'away', k: 'y', kind: UNAVAILABLE });
  expect(await worker.ingestor.ingest(touched)).toMatchObject({ reason: 'unavailable-column' });
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([]);
});

test('a truncate removes every row of the table, in pages, and withdraws the runs of incomplete sets', async ({
  db,
}) => {
  const other = {
    ...pairOf({ name: 'other' }),
    parts: { a: { table: 'public.another', key: 'k' } },
  };
  const worker = await workerOn(db, [pairOf(), other]);
  const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
  await Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => worker.ingestor.ingest(each)),
  );
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'k1' }, { stream: 'public.another' }));
  expect(await worker.ingestor.ingest(truncate(FAR))).toEqual({ kind: 'ingested' });
  expect((await setsOf(db, 1)).filter(({ fresh }) => fresh > 0)).toEqual([
    { key: 'k1', counts: [1], fresh: 1 },
  ]);
  expect((await runsOf(db)).filter(({ complete }) => complete).map(({ key }) => key)).toEqual([
    'k1',
  ]);
  expect([await miscounted(db), await misjudged(db)]).toEqual([[], []]);
});

test('a truncate waits for a batch in progress, and a batch that waits for it sees the truncate version', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const otherPod = await workerOn(db, [pairOf()]);
  const last = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(partA('x'));
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  // took its snapshot before the truncate version is set, and commits after it was requested
  const inProgress = otherPod.ingestor.ingest(partB('x'));
  await blocked(db, 1);
  const truncating = worker.ingestor.ingest(truncate(FAR));
  await blocked(db, 1, 'lock table%');
  const late = last.ingestor.ingest(partA('y'));
  await blocked(db, 3);
  await release();
  await Promise.all([inProgress, truncating, late]);
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([]);
  expect([await miscounted(db), await misjudged(db)]).toEqual([[], []]);
});

test('older changes that arrive after the truncate are ignored, newer ones are ingested', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(truncate(FAR));
  await worker.ingestor.ingest(partA('x'));
  await worker.ingestor.ingest(change('c', FAR + 1, { id: 'new', k: 'x', kind: 'b' }));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 1], fresh: 1 }]);
});

test('a truncate that is redelivered, or arrives after a later one, removes nothing more', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(truncate(FAR));
  await worker.ingestor.ingest(truncate(FAR + 10));
  await worker.ingestor.ingest(change('c', FAR + 11, { id: 'new', k: 'x', kind: 'a' }));
  for (const lsn of [FAR, FAR + 10, FAR + 5]) await worker.ingestor.ingest(truncate(lsn));
  await worker.ingestor.ingest(change('c', FAR + 7, { id: 'old', k: 'x', kind: 'b' }));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 0], fresh: 1 }]);
});

test('neither truncate nor intake waits for a vacuum', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(partA('x'));
  const release = await hold(
    db,
    'lock table muster.member, muster.sets in share update exclusive mode',
  );
  await worker.ingestor.ingest(truncate(FAR));
  await workerOn(db, [pairOf({ overdueAfter: '1 hour' })]);
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([]);
  await release();
});
