import { expect } from 'vitest';
import { change } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { runsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

const ready = {
  key: 'x',
  revision: 1,
  complete: true,
  state: 'ready',
  token: '0',
  attempt: 0,
  late: 0,
};

test('a set that is complete, incomplete and complete again before its first attempt runs once', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const claim = () => worker.runs.claim(worker.served[0]!.id, worker.id, 10);
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  expect(await runsOf(db)).toEqual([ready]);

  await worker.ingestor.ingest(partB('x', 'd'));
  expect(await runsOf(db)).toEqual([{ ...ready, complete: false }]);
  expect(await claim()).toEqual([]);

  await worker.ingestor.ingest(partB());
  expect(await runsOf(db)).toEqual([{ ...ready, token: '1' }]);
  const leases = await claim();
  expect(
    leases.map(({ key, revision, token, attempt }) => ({ key, revision, token, attempt })),
  ).toEqual([{ key: 'x', revision: 1, token: 2, attempt: 1 }]);
  expect(await claim()).toEqual([]);
  await worker.runs.finish([{ lease: leases[0]!, events: [] }]);
  expect(await runsOf(db)).toEqual([{ ...ready, state: 'done', token: '2', attempt: 1 }]);
});

test('a set that the same batch completes and breaks creates no run', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await worker.ingestor.ingest(partA());
  await Promise.all(
    [partB('x', 'u', 7), partA('x', 'd')].map((each) => worker.ingestor.ingest(each)),
  );
  expect(await runsOf(db)).toEqual([]);
});

test('an attempt continues if its set becomes incomplete, and the change is counted as late', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => worker.ingestor.ingest(each)));
  await worker.ingestor.ingest(partB('x', 'd'));
  const running = { ...ready, state: 'running', token: '1', attempt: 1 };
  expect(await runsOf(db)).toEqual([{ ...running, complete: false, late: 1 }]);
  await worker.ingestor.ingest(partB());
  expect(await runsOf(db)).toEqual([{ ...running, late: 2 }]);
  const run = { lease: worker.leases[0]!, events: [] };
  expect(await worker.runs.finish([run])).toEqual(new Set([run]));
  expect(worker.leases.length).toBe(1);
});

test('a run whose attempt dies while its set is incomplete waits until the set is complete again', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => worker.ingestor.ingest(each)));
  await worker.ingestor.ingest(partB('x', 'd'));
  await worker.runs.deregister(worker.id);
  expect(await worker.runs.reapExpired()).toBe(1);
  expect(await worker.runs.claim(worker.served[0]!.id, worker.id, 10)).toEqual([]);
  expect(await runsOf(db)).toEqual([{ ...ready, complete: false, token: '1', attempt: 1 }]);
  await worker.ingestor.ingest(partB());
  await worker.runs.register(worker.id, 'test', 600);
  const again = await worker.runs.claim(worker.served[0]!.id, worker.id, 10);
  expect([...worker.leases, ...again].map(({ token, attempt }) => [token, attempt])).toEqual([
    [1, 1],
    [2, 2],
  ]);
});

test('a change of the set does not start the next attempt early', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => worker.ingestor.ingest(each)));
  await worker.runs.fail(worker.leases[0]!, 'later', 3_600_000);
  await worker.ingestor.ingest(partB('x', 'd'));
  await worker.ingestor.ingest(partB());
  expect(worker.leases.length).toBe(1);
  expect(await runsOf(db)).toEqual([{ ...ready, token: '1', attempt: 1 }]);
});

test('a failed run whose set changes is ready again, starting with its first attempt', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => worker.ingestor.ingest(each)));
  await worker.runs.fail(worker.leases[0]!, 'never', null);
  const failed = { ...ready, state: 'failed', token: '1', attempt: 1 };
  expect(await runsOf(db)).toEqual([failed]);
  worker.slots = 0;
  await worker.ingestor.ingest(partA());
  expect(await runsOf(db)).toEqual([{ ...ready, token: '1' }]);
  expect(await db.query('select error, finished_at from muster.run')).toEqual([
    { error: null, finished_at: null },
  ]);
});

test('a duplicate or stale change neither restarts a failed run nor counts as late', async ({
  db,
}) => {
  const worker = await workerOn(
    db,
    [pairOf({ parts: { a: { table: 'public.item', key: 'k', columns: ['note'] } } })],
    { slots: 2 },
  );
  const { UNAVAILABLE } = await import('../../../src/state/change.ts');
  const rows = [
    change('c', 1, { id: 1, k: 'x', note: 'first' }),
    // its missing column is filled, so every older version is compared again
    change('u', 2, { id: 1, k: 'x', note: UNAVAILABLE }),
    change('c', 3, { id: 2, k: 'y', note: 'first' }),
  ];
  for (const each of rows) await worker.ingestor.ingest(each);
  const [x, y] = worker.leases as [(typeof worker.leases)[0], (typeof worker.leases)[0]];
  await worker.runs.fail(x, 'never', null);
  await worker.runs.finish([{ lease: y, events: [] }]);
  const before = await db.query('select * from muster.run order by key');
  for (const each of rows) await worker.ingestor.ingest(each);
  expect(await db.query('select * from muster.run order by key')).toEqual(before);
});

test('a done set that changes later does not run again', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => worker.ingestor.ingest(each)));
  await worker.runs.finish([{ lease: worker.leases[0]!, events: [] }]);
  for (const each of [partA(), partB('x', 'd'), partB(), partB('x', 'u', 'another')]) {
    await worker.ingestor.ingest(each);
  }
  expect(worker.leases.length).toBe(1);
  expect(await runsOf(db)).toEqual([{ ...ready, state: 'done', token: '1', attempt: 1, late: 4 }]);
});
