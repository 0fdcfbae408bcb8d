import { expect } from 'vitest';
import { change } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { podOn } from '../../support/pod.ts';
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
  const pod = await podOn(db, [pairOf()]);
  const claim = () => pod.runs.claim(pod.served[0]!.id, pod.id, 10);
  for (const each of [partA(), partB()]) await pod.ingestor.ingest(each);
  expect(await runsOf(db)).toEqual([ready]);

  await pod.ingestor.ingest(partB('x', 'd'));
  expect(await runsOf(db)).toEqual([{ ...ready, complete: false }]);
  expect(await claim()).toEqual([]);

  await pod.ingestor.ingest(partB());
  expect(await runsOf(db)).toEqual([ready]);
  const leases = await claim();
  expect(
    leases.map(({ key, revision, token, attempt }) => ({ key, revision, token, attempt })),
  ).toEqual([{ key: 'x', revision: 1, token: 1, attempt: 1 }]);
  expect(await claim()).toEqual([]);
  await pod.runs.finish([{ lease: leases[0]!, events: [] }]);
  expect(await runsOf(db)).toEqual([{ ...ready, state: 'done', token: '1', attempt: 1 }]);
});

test('a set that the same batch completes and breaks creates no run', async ({ db }) => {
  const pod = await podOn(db, [pairOf()], { slots: 1 });
  await pod.ingestor.ingest(partA());
  await Promise.all([partB('x', 'u', 7), partA('x', 'd')].map((each) => pod.ingestor.ingest(each)));
  expect(await runsOf(db)).toEqual([]);
});

test('an attempt continues if its set becomes incomplete, and the change is counted as late', async ({
  db,
}) => {
  const pod = await podOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => pod.ingestor.ingest(each)));
  await pod.ingestor.ingest(partB('x', 'd'));
  const running = { ...ready, state: 'running', token: '1', attempt: 1 };
  expect(await runsOf(db)).toEqual([{ ...running, complete: false, late: 1 }]);
  await pod.ingestor.ingest(partB());
  expect(await runsOf(db)).toEqual([{ ...running, late: 2 }]);
  const run = { lease: pod.leases[0]!, events: [] };
  expect(await pod.runs.finish([run])).toEqual(new Set([run]));
  expect(pod.leases.length).toBe(1);
});

test('a run whose attempt dies while its set is incomplete waits until the set is complete again', async ({
  db,
}) => {
  const pod = await podOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => pod.ingestor.ingest(each)));
  await pod.ingestor.ingest(partB('x', 'd'));
  await pod.runs.deregister(pod.id);
  expect(await pod.runs.reapExpired()).toBe(1);
  expect(await pod.runs.claim(pod.served[0]!.id, pod.id, 10)).toEqual([]);
  expect(await runsOf(db)).toEqual([
    { ...ready, complete: false, token: '1', attempt: 1, late: 1 },
  ]);
  await pod.ingestor.ingest(partB());
  expect(pod.leases.map(({ token, attempt }) => [token, attempt])).toEqual([
    [1, 1],
    [2, 2],
  ]);
});

test('a change of the set does not start the next attempt early', async ({ db }) => {
  const pod = await podOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => pod.ingestor.ingest(each)));
  await pod.runs.fail(pod.leases[0]!, 'later', 3_600_000);
  await pod.ingestor.ingest(partB('x', 'd'));
  await pod.ingestor.ingest(partB());
  expect(pod.leases.length).toBe(1);
  expect(await runsOf(db)).toEqual([{ ...ready, token: '1', attempt: 1 }]);
});

test('a failed run whose set changes is ready again, starting with its first attempt', async ({
  db,
}) => {
  const pod = await podOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => pod.ingestor.ingest(each)));
  await pod.runs.fail(pod.leases[0]!, 'never', null);
  const failed = { ...ready, state: 'failed', token: '1', attempt: 1 };
  expect(await runsOf(db)).toEqual([failed]);
  pod.slots = 0;
  await pod.ingestor.ingest(partA());
  expect(await runsOf(db)).toEqual([{ ...ready, token: '1' }]);
  expect(await db.query('select error, finished_at from muster.run')).toEqual([
    { error: null, finished_at: null },
  ]);
});

test('a duplicate or stale change neither restarts a failed run nor counts as late', async ({
  db,
}) => {
  const pod = await podOn(
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
  for (const each of rows) await pod.ingestor.ingest(each);
  const [x, y] = pod.leases as [(typeof pod.leases)[0], (typeof pod.leases)[0]];
  await pod.runs.fail(x, 'never', null);
  await pod.runs.finish([{ lease: y, events: [] }]);
  const before = await db.query('select * from muster.run order by key');
  for (const each of rows) await pod.ingestor.ingest(each);
  expect(await db.query('select * from muster.run order by key')).toEqual(before);
});

test('a done set that changes later does not run again', async ({ db }) => {
  const pod = await podOn(db, [pairOf()], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => pod.ingestor.ingest(each)));
  await pod.runs.finish([{ lease: pod.leases[0]!, events: [] }]);
  for (const each of [partA(), partB('x', 'd'), partB(), partB('x', 'u', 'another')]) {
    await pod.ingestor.ingest(each);
  }
  expect(pod.leases.length).toBe(1);
  expect(await runsOf(db)).toEqual([{ ...ready, state: 'done', token: '1', attempt: 1, late: 4 }]);
});
