import { expect } from 'vitest';
import { blocked, hold } from '../../support/blocked.ts';
import { change } from '../../support/changes.ts';
import { pairOf, partA } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

const waiting = (i: number) => change('c', i + 1, { id: i, k: `k${i}`, kind: 'a' });

test('events beyond the limit are refused as overload, and accepted when there is room', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { maxBytes: 2000 });
  await worker.ingestor.ingest(partA());
  const release = await hold(db, 'lock table muster.member in exclusive mode');
  const results = Array.from({ length: 20 }, (_, i) =>
    worker.ingestor.ingest(waiting(i)).catch((error: unknown) => error),
  );
  await blocked(db, 1);
  const refused = await results.at(-1)!;
  expect(refused).toMatchObject({ name: 'Unavailable', reason: 'overload' });
  await release();
  const kinds = await Promise.all(results);
  const ingested = kinds.filter((each) => (each as { kind?: string }).kind === 'ingested').length;
  expect(ingested).toBeGreaterThan(3);
  expect((await setsOf(db)).length).toBe(ingested + 1);
  expect(await worker.ingestor.ingest(waiting(99))).toEqual({ kind: 'ingested' });
});

test('one event that exceeds the limit is accepted when nothing else waits', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { maxBytes: 1 });
  expect(await worker.ingestor.ingest(partA())).toEqual({ kind: 'ingested' });
});

test('events that arrive while a batch is written form the next batch', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const release = await hold(db, 'lock table muster.member in exclusive mode');
  const first = worker.ingestor.ingest(waiting(0));
  await blocked(db, 1);
  const rest = Array.from({ length: 50 }, (_, i) => worker.ingestor.ingest(waiting(i + 1)));
  await release();
  await Promise.all([first, ...rest]);
  expect(worker.ingested.map(({ ingested }) => ingested)).toEqual([1, 50]);
});

test('of several changes of a row in one batch, the newest is ingested, regardless of their order', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  // the first change of a source is ingested separately
  await worker.ingestor.ingest(change('d', 1, { id: 'other' }));
  await Promise.all(
    [3, 5, 4, 5, 2].map((lsn) =>
      worker.ingestor.ingest(change('u', lsn, { id: 1, k: `k${lsn}`, kind: 'a' })),
    ),
  );
  expect(worker.ingested.map(({ ingested }) => ingested)).toEqual([2, 2]);
  expect((await setsOf(db)).map(({ key }) => key)).toEqual(['k5']);
});

test('if the database interrupts a batch, all of its events must be resent, and nothing is ingested twice', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const release = await hold(db, 'lock table muster.member in exclusive mode');
  const results = [1, 2, 3].map((i) =>
    worker.ingestor.ingest(waiting(i)).catch((error: unknown) => error),
  );
  await blocked(db, 1);
  await db.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'muster writer'`,
  );
  for (const each of await Promise.all(results)) {
    expect(each).toMatchObject({ name: 'Unavailable', reason: 'database' });
  }
  await release();
  await Promise.all([1, 2, 3].map((i) => worker.ingestor.ingest(waiting(i))));
  expect((await setsOf(db)).map(({ counts }) => counts)).toEqual([
    [1, 0],
    [1, 0],
    [1, 0],
  ]);
});
