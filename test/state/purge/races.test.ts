import { expect } from 'vitest';
import { purge } from '../../../src/state/purge.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change, read } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { workerOn, type TestWorker } from '../../support/worker.ts';
import { misjudged, miscounted, setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

const purgeOf = (worker: TestWorker) =>
  purge(worker.database, [{ definition: pairOf(), served: worker.served[0]! }], {
    tombstoneSeconds: 0,
  });

test('a set that is filled while it is dropped as empty stays', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const otherPod = await workerOn(db, [pairOf()]);
  for (const op of ['u', 'd'] as const) await worker.ingestor.ingest(partA('x', op));
  await worker.ingestor.ingest(partA('y'));
  const release = await hold(db, `select from muster.sets where key = 'y' for update`);
  // x is filled, and commits only together with y
  const ingesting = Promise.all(
    [partA('x', 'u', 'new-x'), partA('y', 'u', 'new-y')].map((each) =>
      otherPod.ingestor.ingest(each),
    ),
  );
  await blocked(db, 1);
  const purging = purgeOf(worker);
  await blocked(db, 2);
  await release();
  await Promise.all([ingesting, purging]);
  expect(await setsOf(db)).toEqual([
    { key: 'x', counts: [1, 0], fresh: 1 },
    { key: 'y', counts: [2, 0], fresh: 2 },
  ]);
  expect(await miscounted(db)).toEqual([]);
});

test('a set that history fills while it is dropped as empty stays', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const otherPod = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(read(1, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('d', 1e6, { id: 1 }));
  await worker.ingestor.ingest(partA('y'));
  const release = await hold(db, `select from muster.sets where key = 'y' for update`);
  const ingesting = Promise.all([
    otherPod.ingestor.ingest(read(2, { id: 2, k: 'x', kind: 'b' })),
    otherPod.ingestor.ingest(read(2, { id: 3, k: 'y', kind: 'b' })),
  ]);
  await blocked(db, 1);
  const purging = purgeOf(worker);
  await blocked(db, 2);
  await release();
  await Promise.all([ingesting, purging]);
  expect(await setsOf(db)).toMatchObject([
    { key: 'x', counts: [0, 1] },
    { key: 'y', counts: [1, 1] },
  ]);
  expect(await miscounted(db)).toEqual([]);
});

test('sets with only history are not empty', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(read(1, { id: 1, k: 'x', kind: 'a' }));
  await purgeOf(worker);
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 0], fresh: 0 }]);
});

test('a tombstone whose row is created again during the purge stays', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const otherPod = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(partA('y'));
  await worker.ingestor.ingest(change('d', 5, { id: 'x-a' }));
  await db.query('delete from muster.member where part_index = 2');
  const release = await hold(db, `select from muster.sets where key = 'y' for update`);
  // the row is created again, and commits only together with y
  const ingesting = Promise.all(
    [partA('x'), partA('y', 'u', 'new')].map((each) => otherPod.ingestor.ingest(each)),
  );
  await blocked(db, 1);
  const purging = purgeOf(worker);
  await blocked(db, 2);
  await release();
  await Promise.all([ingesting, purging]);
  expect(
    await db.query(`select in_set from muster.member where id = 'x-a' and part_index = 1`),
  ).toEqual([{ in_set: true }]);
  expect(await miscounted(db)).toEqual([]);
});

test('a done set that is completed again while it is purged stays complete', async ({ db }) => {
  const definition = pairOf({ keepFor: '0 seconds' });
  const worker = await workerOn(db, [definition], { slots: 1 });
  const otherPod = await workerOn(db, [definition]);
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  await worker.runs.finish(worker.leases.map((lease) => ({ lease, events: [] })));
  for (const each of [partA('x', 'd'), partB('x', 'd')]) await worker.ingestor.ingest(each);
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  const ingesting = Promise.all(
    [partA('x', 'u', 'new-a'), partB('x', 'u', 'new-b')].map((each) =>
      otherPod.ingestor.ingest(each),
    ),
  );
  await blocked(db, 1);
  const purging = purge(worker.database, [{ definition, served: worker.served[0]! }], {
    tombstoneSeconds: 86_400,
  });
  await blocked(db, 2);
  await release();
  await Promise.all([ingesting, purging]);
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 1], fresh: 2 }]);
  expect([await miscounted(db), await misjudged(db)]).toEqual([[], []]);
});
