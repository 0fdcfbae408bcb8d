import { expect } from 'vitest';
import { fireDeadlines, pruneAll, pruneDeadlines } from '../../../src/state/runs/deadlines.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change, read } from '../../support/changes.ts';
import { engineOn } from '../../support/engine.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { workerOn, type TestWorker } from '../../support/worker.ts';
import { runsOf } from '../../support/state.ts';
import { test, type TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';

const definition = pairOf({ overdueAfter: '1 hour' });

const fire = async (worker: TestWorker) =>
  (await fireDeadlines(worker.database, [worker.served[0]!.id])).overdue;
const prune = (worker: TestWorker) => pruneDeadlines(worker.database, [worker.served[0]!.id], 0);
const pass = async (db: TestDatabase, time: string) => {
  await db.query('update muster.deadline set due_at = due_at - $1::interval', [time]);
  await db.query('update muster.member set since = since - $1::interval', [time]);
};
/** Moves time on by a little more than an hour. */
const anHourPasses = (db: TestDatabase) => pass(db, '1 hour 1 second');
const reminders = (db: TestDatabase) =>
  db.query<{ keys: string[]; minutes: number }>(
    `select array(select s.key from unnest(keys) with ordinality as k (key_hash, nth) join muster.sets s using (key_hash) order by nth) as keys,
            round(extract(epoch from due_at - now()) / 60)::int as minutes from muster.deadline order by id`,
  );
const reports = (db: TestDatabase) =>
  db.query<{ key: string; type: string; data: unknown }>(
    'select key, type, subject, event_id, data from muster.outbox order by id',
  );

test('a set that stays incomplete is reported once, not early, with what is missing', async ({
  db,
}) => {
  const three = pairOf({
    overdueAfter: '1 hour',
    parts: { ...definition.parts, b: { ...definition.parts['b']!, count: 3 } },
  });
  const worker = await workerOn(db, [three]);
  await worker.ingestor.ingest(partB());
  expect(await reminders(db)).toEqual([{ keys: ['x'], minutes: 60 }]);
  expect(await fire(worker)).toEqual([]);
  await pass(db, '59 minutes');
  expect(await fire(worker)).toEqual([]);
  await anHourPasses(db);
  const missing = [
    { part: 'a', have: 0, need: 1 },
    { part: 'b', have: 1, need: 3 },
  ];
  expect(await fire(worker)).toEqual([{ function: 'pair', key: 'x', missing }]);
  expect(await fire(worker)).toEqual([]);
  expect(await reports(db)).toEqual([
    {
      key: 'x',
      type: 'muster.set.overdue',
      subject: 'x',
      event_id: expect.stringMatching(/^pair\/x\/overdue\/\d+/),
      data: { function: 'pair', key: 'x', overdueSince: expect.any(String), missing },
    },
  ]);
});

test('the deadline counts from the first row; later ones do not move it', async ({ db }) => {
  const worker = await workerOn(db, [definition]);
  await worker.ingestor.ingest(partA());
  await pass(db, '59 minutes');
  await worker.ingestor.ingest(partA('x', 'u', 'another'));
  await worker.ingestor.ingest(partA());
  expect(await reminders(db)).toEqual([{ keys: ['x'], minutes: 1 }]);
  await pass(db, '61 seconds');
  expect((await fire(worker)).map(({ key }) => key)).toEqual(['x']);
});

test('the deadline of a set that was emptied counts from its next first row', async ({ db }) => {
  const worker = await workerOn(db, [definition]);
  await worker.ingestor.ingest(partA());
  await pass(db, '59 minutes');
  await worker.ingestor.ingest(partA('x', 'd'));
  await worker.ingestor.ingest(change('c', 1e6, { id: 'second life', k: 'x', kind: 'a' }));
  await pass(db, '61 seconds');
  expect(await fire(worker)).toEqual([]);
  expect((await reminders(db)).map(({ minutes }) => minutes)).toEqual([59, 59]);
  await anHourPasses(db);
  expect((await fire(worker)).map(({ key }) => key)).toEqual(['x']);
  expect(await reminders(db)).toEqual([]);
});

test('complete sets are removed from their deadline row, and an empty row is deleted', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition]);
  await Promise.all([partA('x'), partA('y')].map((each) => worker.ingestor.ingest(each)));
  expect((await reminders(db)).flatMap(({ keys }) => keys).toSorted()).toEqual(['x', 'y']);
  await worker.ingestor.ingest(partB('x'));
  expect(await prune(worker)).toBe(false);
  expect(await reminders(db)).toEqual([{ keys: ['y'], minutes: 60 }]);
  // pruned once: from now on it waits for its deadline
  await worker.ingestor.ingest(partB('y'));
  await prune(worker);
  expect((await reminders(db)).length).toBe(1);
  await anHourPasses(db);
  expect(await fire(worker)).toEqual([]);
  expect(await reminders(db)).toEqual([]);
});

test('before the last process ends, sets that became complete later are removed too', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition]);
  for (let i = 0; i < 20; i++) await worker.ingestor.ingest(partA(`k${i}`));
  while (await prune(worker));
  for (let i = 0; i < 19; i++) await worker.ingestor.ingest(partB(`k${i}`));
  await pruneAll(worker.database, [worker.served[0]!.id], 60_000);
  expect(await reminders(db)).toEqual([{ keys: ['k19'], minutes: 60 }]);
});

test('more deadlines than a page are fired and pruned page by page', async ({ db }) => {
  const worker = await workerOn(db, [definition]);
  for (let i = 0; i < 10; i++) await worker.ingestor.ingest(partA(`k${i}`));
  await worker.ingestor.ingest(partB('k0'));
  expect([await prune(worker), await prune(worker)]).toEqual([true, false]);
  expect((await reminders(db)).length).toBe(9);
  await anHourPasses(db);
  const pages = [1, 2].map(() => fireDeadlines(worker.database, [worker.served[0]!.id]));
  const fired = await Promise.all(pages);
  expect(fired.flatMap(({ overdue }) => overdue).length).toBe(9);
  expect(fired.some(({ more }) => more)).toBe(true);
});

const silent: [name: string, live: (worker: TestWorker, db: TestDatabase) => Promise<unknown>][] = [
  ['a set that became complete', (worker) => worker.ingestor.ingest(partB())],
  ['a set that was emptied', (worker) => worker.ingestor.ingest(partA('x', 'd'))],
  [
    'a set whose run is done, and that broke since',
    async (worker) => {
      worker.slots = 1;
      await worker.ingestor.ingest(partB());
      await worker.runs.finish([{ lease: worker.leases[0]!, events: [] }]);
      await worker.ingestor.ingest(partB('x', 'd'));
    },
  ],
];
for (const [name, live] of silent) {
  test(`not reported: ${name}`, async ({ db }) => {
    const worker = await workerOn(db, [definition]);
    await worker.ingestor.ingest(partA());
    await live(worker, db);
    await anHourPasses(db);
    expect(await fire(worker)).toEqual([]);
    expect(await reports(db)).toEqual([]);
    expect(await reminders(db)).toEqual([]);
  });
}

test('not reported: rows of the initial snapshot that are incomplete', async ({ db }) => {
  const worker = await workerOn(db, [definition]);
  await worker.ingestor.ingest(read(0, { id: 1, k: 'x', kind: 'a' }));
  expect(await reminders(db)).toEqual([]);
});

test('a set that becomes incomplete before its run starts waits again, and may be overdue again', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition]);
  await worker.ingestor.ingest(partA());
  await anHourPasses(db);
  expect((await fire(worker)).length).toBe(1);
  await worker.ingestor.ingest(partB());
  await worker.ingestor.ingest(partB('x', 'd'));
  expect(await fire(worker)).toEqual([]);
  await anHourPasses(db);
  expect((await fire(worker)).length).toBe(1);
  expect(new Set((await reports(db)).map(({ key }) => key)).size).toBe(1);
  expect((await reports(db)).length).toBe(2);
});

test('the deadline of a set that becomes incomplete during its run is held back, and applies if the run fails', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition], { slots: 1 });
  await Promise.all([partA(), partB()].map((each) => worker.ingestor.ingest(each)));
  await worker.ingestor.ingest(partB('x', 'd'));
  await anHourPasses(db);
  expect(await fire(worker)).toEqual([]);
  await worker.runs.fail(worker.leases[0]!, 'once', 0);
  await pass(db, '31 seconds');
  expect((await fire(worker)).map(({ key }) => key)).toEqual(['x']);
});

test('a firing deadline waits for the statement that completes its set, and reports nothing', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition]);
  const other = await workerOn(db, [definition]);
  await worker.ingestor.ingest(partA());
  await anHourPasses(db);
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  const completing = worker.ingestor.ingest(partB());
  await blocked(db, 1);
  const firing = fire(other);
  await blocked(db, 2);
  await release();
  await completing;
  expect(await firing).toEqual([]);
  expect(await reports(db)).toEqual([]);
});

test('the statement that completes a set waits for its firing deadline: both happen, in that order', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition]);
  const other = await workerOn(db, [definition]);
  await worker.ingestor.ingest(partA());
  await anHourPasses(db);
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  const firing = fire(other);
  await blocked(db, 1);
  const completing = worker.ingestor.ingest(partB());
  await blocked(db, 2);
  await release();
  expect((await firing).map(({ key }) => key)).toEqual(['x']);
  await completing;
  expect(await runsOf(db)).toMatchObject([{ key: 'x', complete: true, state: 'ready' }]);
  expect(await fire(worker)).toEqual([]);
});

test('a set that was completed while it was being reported, and becomes incomplete, may be overdue again', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition]);
  const other = await workerOn(db, [definition]);
  await worker.ingestor.ingest(partA());
  await anHourPasses(db);
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  const firing = fire(other);
  await blocked(db, 1);
  // its snapshot is older than the report that it waits for
  const completing = worker.ingestor.ingest(partB());
  await blocked(db, 2);
  await release();
  expect((await firing).length).toBe(1);
  await completing;
  await worker.ingestor.ingest(partB('x', 'd'));
  await anHourPasses(db);
  expect((await fire(worker)).map(({ key }) => key)).toEqual(['x']);
});

test('a set that is in two deadlines for the same time is reported with each missing part once', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition]);
  await worker.ingestor.ingest(partA());
  await pass(db, '59 minutes');
  await worker.ingestor.ingest(partA('x', 'd'));
  await worker.ingestor.ingest(change('c', 1e6, { id: 'second life', k: 'x', kind: 'a' }));
  await pass(db, '61 seconds');
  // the first deadline is set to the time of the second
  expect(await fire(worker)).toEqual([]);
  await anHourPasses(db);
  const missing = [{ part: 'b', have: 0, need: 1 }];
  expect(await fire(worker)).toEqual([{ function: 'pair', key: 'x', missing }]);
});

test('deadlines that two replicas find at the same moment fire once each', async ({ db }) => {
  const worker = await workerOn(db, [definition]);
  const other = await workerOn(db, [definition]);
  await Promise.all(Array.from({ length: 30 }, (_, i) => worker.ingestor.ingest(partA(`k${i}`))));
  await anHourPasses(db);
  const release = await hold(db, 'select from muster.sets for update');
  const both = [fire(worker)];
  await blocked(db, 1);
  // as if it became incomplete and got a new deadline
  await db.query(
    `insert into muster.deadline (function, due_at, keys) select function, due_at, keys from muster.deadline`,
  );
  both.push(fire(other));
  await blocked(db, 2);
  await release();
  expect((await Promise.all(both)).flat().length).toBe(30);
  expect((await reports(db)).length).toBe(30);
});

test('deadlines are held back until intake has been idle for the grace period', async ({ db }) => {
  const settings = { DEADLINE_GRACE_SECONDS: '1' };
  const first = await engineOn(db, [definition], settings);
  await first.ingestor.ingest(partA());
  await first.stop();
  await anHourPasses(db);
  // After an outage the missing part may arrive first, so the restarted engine waits a second for it.
  const startedAt = performance.now();
  const second = await engineOn(db, [definition], settings);
  await until(async () => (await reports(db)).length > 0);
  expect(performance.now() - startedAt).toBeGreaterThan(1000);
  await second.stop();
});

test('a part that arrives within the grace period is not reported missing', async ({ db }) => {
  const settings = { DEADLINE_GRACE_SECONDS: '1' };
  const first = await engineOn(db, [definition], settings);
  await first.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await first.stop();
  await anHourPasses(db);
  const second = await engineOn(db, [definition], settings);
  await second.ingestor.ingest(change('c', 2, { id: 2, k: 'x', kind: 'b' }));
  await until(async () => (await runsOf(db))[0]?.state === 'done');
  expect(await reports(db)).toEqual([]);
  await second.stop();
});
