import { expect } from 'vitest';
import { change } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { runsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

test('every change that arrives after the run began counts as late, even within one batch', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => worker.ingestor.ingest(each)));
  await worker.runs.finish([{ lease: worker.leases[0]!, events: [] }]);
  const file = (changes: readonly ReturnType<typeof change>[]) =>
    Promise.all(changes.map((each) => worker.ingestor.ingest(each)));
  const before = worker.ingested.length;
  await file(
    Array.from({ length: 10 }, (_, i) => change('c', 100 + i, { id: i, k: 'x', kind: 'a' })),
  );
  expect(worker.ingested.length).toBe(before + 1);
  expect(await runsOf(db)).toMatchObject([{ late: 10 }]);
  // one row changes in its set, one leaves it, one enters it, and another set becomes complete
  await file([
    change('u', 200, { id: 0, k: 'x', kind: 'a' }),
    change('u', 201, { id: 1, k: 'z', kind: 'a' }),
    change('c', 202, { id: 20, k: 'x', kind: 'b' }),
    change('c', 203, { id: 21, k: 'z', kind: 'b' }),
  ]);
  expect(await runsOf(db)).toMatchObject([
    { key: 'x', late: 13 },
    { key: 'z', late: 0 },
  ]);
});

test('a run that is created while its function is paused is not leased', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await db.query('update muster.function set paused = true');
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  expect(worker.leases).toEqual([]);
  expect(await runsOf(db)).toMatchObject([{ state: 'ready', complete: true }]);
  await db.query('update muster.function set paused = false');
  expect(await worker.runs.claim(1, worker.id, 1)).toMatchObject([{ key: 'x' }]);
});
