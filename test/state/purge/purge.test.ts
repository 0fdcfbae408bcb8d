import { expect } from 'vitest';
import type { FunctionDefinition } from '../../../src/function.ts';
import { discardRuns } from '../../../src/state/runs/retry-sets.ts';
import { purge } from '../../../src/state/purge.ts';
import { fireDeadlines } from '../../../src/state/runs/deadlines.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { UNAVAILABLE } from '../../../src/state/change.ts';
import { partsOf } from '../../../src/definitions/registered-function.ts';
import { loadMembers } from '../../../src/state/runs/load-members.ts';
import { change } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { workerOn, type TestWorker } from '../../support/worker.ts';
import { misjudged, miscounted, runsOf, setsOf } from '../../support/state.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const DAY = 86_400;
const definition = pairOf({ keepFor: '1 day', overdueAfter: '1 hour' });
const history = ['x', 'y'].flatMap((k, i) => [
  change('c', 10 * i + 1, { id: `${k}a`, k, kind: 'a' }),
  change('c', 10 * i + 2, { id: `${k}b`, k, kind: 'b' }),
]);

const purgeOf = (worker: TestWorker, fn: FunctionDefinition = definition, everySeconds = 0) =>
  purge(worker.database, [{ definition: fn, served: worker.served[0]! }], {
    tombstoneSeconds: 30 * DAY,
    everySeconds,
  });

/** Two complete sets whose runs are done, with one event each: one sent, one refused permanently. */
async function twoDone(db: TestDatabase, fn: FunctionDefinition = definition): Promise<TestWorker> {
  const worker = await workerOn(db, [fn], { slots: 2 });
  for (const each of history) await worker.ingestor.ingest(each);
  await worker.runs.finish(
    worker.leases.map((lease) => ({
      lease,
      events: [{ eventId: lease.key, type: 't', subject: lease.key, data: null }],
    })),
  );
  await db.query(`update muster.outbox set sent_at = now() where key = 'x'`);
  await db.query(`update muster.outbox set failed_at = now() where key = 'y'`);
  return worker;
}

/** Moves time on, and makes the rows so old that no older change of them can arrive. */
const later = async (db: TestDatabase, by = '25 hours') => {
  await db.query(`update muster.run set finished_at = finished_at - $1::interval`, [by]);
  await age(db, '31 days');
};

/** Makes the newest versions of the rows, or of those that are in no set, this old. */
const age = (db: TestDatabase, by: string, which = 'true') =>
  db.query(
    `update muster.member set since = since - $1::interval, gone_on = case when not in_set then (since - $1::interval)::date end, at = at - extract(epoch from $1::interval) * 1000 where ${which}`,
    [by],
  );

const counts = async (db: TestDatabase) =>
  (
    await db.query(
      `select (select count(*) from muster.member)::int as members, (select count(*) from muster.sets where fresh <> 0 or 0 <> any (counts))::int as sets,
              (select count(*) from muster.overdue)::int as overdue, (select count(*) from muster.run)::int as runs,
              (select count(*) from muster.outbox)::int as events`,
    )
  )[0];

const done = { revision: 1, state: 'done', token: '1', attempt: 1, late: 0 };

test('done sets lose members, counts and sent events after keepFor, and keep their run', async ({
  db,
}) => {
  const worker = await twoDone(db);
  await later(db, '23 hours');
  expect(await purgeOf(worker)).toEqual({ sets: 0, members: 0 });
  expect(await counts(db)).toEqual({ members: 4, sets: 2, overdue: 0, runs: 2, events: 2 });
  await later(db, '2 hours');
  expect(await purgeOf(worker)).toEqual({ sets: 2, members: 4 });
  expect(await counts(db)).toEqual({ members: 0, sets: 0, overdue: 0, runs: 2, events: 1 });
  expect(await runsOf(db)).toEqual([
    { key: 'x', complete: false, ...done },
    { key: 'y', complete: false, ...done },
  ]);
  expect(await purgeOf(worker)).toEqual({ sets: 0, members: 0 });
});

test('the error of a discarded set is deleted with its rows, even if these had been deleted at the source', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition], { slots: 2 });
  for (const key of ['whole', 'gone']) {
    await worker.ingestor.ingest(partA(key));
    await worker.ingestor.ingest(partB(key));
  }
  for (const lease of worker.leases) await worker.runs.fail(lease, 'invalid: Ada', null);
  expect(await discardRuns(worker.database, worker.served[0]!.id, null)).toBe(2);
  await worker.ingestor.ingest(partA('gone', 'd'));
  await later(db);
  await purgeOf(worker);
  expect(await db.query('select key, state, error from muster.run order by key')).toEqual([
    { key: 'gone', state: 'done', error: null },
    { key: 'whole', state: 'done', error: null },
  ]);
});

test('a purged row for which an older change may still arrive stays, and is in no set', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition], { slots: 2 });
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'left', kind: 'a' }));
  await worker.ingestor.ingest(change('u', 2, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('c', 3, { id: 2, k: 'x', kind: 'b' }));
  await worker.ingestor.ingest(change('c', 4, { id: 3, k: 'left', kind: 'b' }));
  await worker.runs.finish(worker.leases.splice(0).map((lease) => ({ lease, events: [] })));
  await db.query(`update muster.run set finished_at = finished_at - interval '25 hours'`);
  await purgeOf(worker);
  expect(
    await db.query(
      'select id, key, in_set from muster.member left join muster.sets using (function, key_hash) where part_index = 1',
    ),
  ).toEqual([{ id: '1', key: 'x', in_set: false }]); // its columns follow from the key
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'left', kind: 'a' }));
  expect(worker.leases).toEqual([]);
  expect(await setsOf(db)).toEqual([{ key: 'left', counts: [0, 1], fresh: 1 }]);
  await age(db, '31 days', 'not in_set');
  await purgeOf(worker);
  expect(await db.query('select id from muster.member')).toEqual([{ id: '3' }]);
});

test('a row that was briefly in another set is kept as long as one that moved today', async ({
  db,
}) => {
  const worker = await twoDone(db);
  await later(db);
  // from x to y and back, ingested in one batch: for its set, it never left
  await Promise.all([
    worker.ingestor.ingest(change('u', 30, { id: 'xa', k: 'left', kind: 'a' }, { at: Date.now() })),
    worker.ingestor.ingest(change('u', 31, { id: 'xa', k: 'x', kind: 'a' }, { at: Date.now() })),
  ]);
  await purgeOf(worker);
  await worker.ingestor.ingest(
    change('u', 30, { id: 'xa', k: 'left', kind: 'a' }, { at: Date.now() }),
  );
  expect(await setsOf(db)).toEqual([]);
  // `gone_on` is a day: the hour is that of the newest version, too
  expect(
    await db.query(
      `select since > now() - interval '1 hour' as recent from muster.member where id = 'xa' and part_index = 1`,
    ),
  ).toEqual([{ recent: true }]);
  // a second pass, because the first one reduces the row to its version
  await purgeOf(worker);
  await worker.ingestor.ingest(
    change('u', 30, { id: 'xa', k: 'left', kind: 'a' }, { at: Date.now() }),
  );
  expect(await setsOf(db)).toEqual([]);
});

test('an update after the purge keeps the newest value of a column that it does not carry', async ({
  db,
}) => {
  const a = { table: 'public.item', key: 'k', where: { kind: 'a' }, columns: ['note'] };
  const noted = pairOf({ parts: { a }, keepFor: '0 seconds' });
  const worker = await workerOn(db, [noted], { slots: 1 });
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a', note: 'old' }));
  await worker.ingestor.ingest(change('u', 2, { id: 1, k: 'x', kind: 'a', note: 'new' }));
  await worker.runs.finish(worker.leases.splice(0).map((lease) => ({ lease, events: [] })));
  await purgeOf(worker, noted);
  await worker.ingestor.ingest(change('u', 3, { id: 1, k: 'y', kind: 'a', note: UNAVAILABLE }));
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a', note: 'old' }));
  const [set] = await loadMembers(worker.database, partsOf(worker.served), worker.leases, 1e6);
  expect(set!.members.map(({ columns }) => columns['note'])).toEqual(['new']);
});

/** Adds 3,000 rows to each set, so that two sets take several pages. */
async function fill(db: TestDatabase): Promise<void> {
  await db.query(`
    insert into muster.member (function, part_index, source, id, version, at, key_hash, in_set, since)
    select function, 1, 1, key || i, 1, 0, key_hash, true, now() - interval '40 days'
    from muster.sets, generate_series(1, 3000) i`);
  await db.query('update muster.sets set counts[1] = counts[1] + 3000, fresh = fresh + 3000');
}

test('large sets are purged as a whole by one pass', async ({ db }) => {
  const worker = await twoDone(db);
  await fill(db);
  await later(db);
  expect(await purgeOf(worker)).toEqual({ sets: 2, members: 6004 });
  expect(await counts(db)).toMatchObject({ members: 0, sets: 0, events: 1 });
});

test('the purge of large sets continues where it was stopped, one page of rows at a time', async ({
  db,
}) => {
  const worker = await twoDone(db);
  await fill(db);
  await later(db);
  const left: unknown[] = [];
  while (left.at(-1) !== 0 && left.length < 5) {
    let looks = 0;
    await purge(worker.database, [{ definition, served: worker.served[0]! }], {
      tombstoneSeconds: 30 * DAY,
      // called before clearing part indexes, the page of sets, and the first page of rows: one page of rows is removed
      stopped: () => ++looks > 3,
    });
    left.push((await counts(db))!['members']);
    expect([await miscounted(db), await misjudged(db)]).toEqual([[], []]);
  }
  expect(left).toEqual([4004, 2004, 4, 0]);
  expect(await setsOf(db)).toEqual([]);
});

test('waiting, ready and failed sets are kept at any age', async ({ db }) => {
  const worker = await workerOn(db, [definition], { slots: 1 });
  for (const each of history.slice(0, 3)) await worker.ingestor.ingest(each);
  await worker.runs.fail(worker.leases[0]!, 'never', null);
  await db.query(
    `update muster.run set finished_at = now() - interval '1 year', created_at = now() - interval '1 year'`,
  );
  await db.query(
    `update muster.member set since = now() - interval '1 year', gone_on = case when not in_set then (now() - interval '1 year')::date end`,
  );
  expect(await purgeOf(worker)).toEqual({ sets: 0, members: 0 });
  expect(await setsOf(db)).toEqual([
    { key: 'x', counts: [1, 1], fresh: 2 },
    { key: 'y', counts: [1, 0], fresh: 1 },
  ]);
});

test('a replay of everything after the purge runs nothing and arms no deadline that fires', async ({
  db,
}) => {
  const worker = await twoDone(db);
  await later(db);
  await purgeOf(worker);
  worker.leases.splice(0);
  // all but the last part: a set that is done is not overdue, even if a replay makes it incomplete
  for (const each of history.slice(0, 3)) await worker.ingestor.ingest(each);
  await db.query(`update muster.deadline set due_at = now() - interval '1 second'`);
  await db.query(
    `update muster.member set since = now() - interval '2 hours', gone_on = case when not in_set then (now() - interval '2 hours')::date end`,
  );
  expect(await fireDeadlines(worker.database, [worker.served[0]!.id])).toMatchObject({
    overdue: [],
  });
  for (const each of history) await worker.ingestor.ingest(each);
  expect(worker.leases).toEqual([]);
  expect(await worker.runs.claim(worker.served[0]!.id, worker.id, 10)).toEqual([]);
  expect((await runsOf(db)).map(({ state, complete, token }) => [state, complete, token])).toEqual([
    ['done', true, '1'],
    ['done', true, '1'],
  ]);
  expect(await db.query('select * from muster.deadline')).toEqual([]);
  expect([await miscounted(db), await misjudged(db)]).toEqual([[], []]);
});

test('a row that is ingested while the purge runs stays counted', async ({ db }) => {
  const worker = await twoDone(db);
  const otherPod = await workerOn(db, [definition]);
  await later(db);
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  const ingesting = otherPod.ingestor.ingest(change('c', 50, { id: 'new', k: 'x', kind: 'a' }));
  await blocked(db, 1);
  const purging = purgeOf(worker);
  await blocked(db, 2);
  await release();
  await ingesting;
  expect(await purging).toEqual({ sets: 2, members: 4 });
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 0], fresh: 1 }]);
  expect([await miscounted(db), await misjudged(db)]).toEqual([[], []]);
});

test('a done set that is completed again while the purge runs is evaluated by its remaining rows', async ({
  db,
}) => {
  const worker = await twoDone(db);
  const otherPod = await workerOn(db, [definition]);
  await worker.ingestor.ingest(change('d', 40, { id: 'xb' }));
  await later(db);
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  const restoring = otherPod.ingestor.ingest(change('c', 50, { id: 'xb', k: 'x', kind: 'b' }));
  await blocked(db, 1);
  const purging = purgeOf(worker);
  await blocked(db, 2);
  await release();
  await Promise.all([restoring, purging]);
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 1], fresh: 1 }]);
  expect(await misjudged(db)).toEqual([]);
});

test('purge and ingest lock the set before its overdue row, and never deadlock', async ({ db }) => {
  const worker = await twoDone(db);
  const otherPod = await workerOn(db, [definition]);
  // incomplete and overdue, like a set that became incomplete while its run failed and was retried
  await worker.ingestor.ingest(change('d', 40, { id: 'xb' }));
  await db.query(`insert into muster.overdue values ($1, muster.key_hash('x'), now())`, [
    worker.served[0]!.id,
  ]);
  await later(db);
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  // holds the set, waits for the run, and then locks the overdue row
  const ingesting = otherPod.ingestor.ingest(change('c', 50, { id: 'xb', k: 'x', kind: 'b' }));
  await blocked(db, 1);
  const purging = purgeOf(worker);
  await blocked(db, 2);
  await release();
  expect(await ingesting).toEqual({ kind: 'ingested' });
  await purging;
  await Promise.all([worker.close(), otherPod.close()]);
  expect(
    await db.query('select deadlocks from pg_stat_database where datname = current_database()'),
  ).toEqual([{ deadlocks: '0' }]);
});

test('of two processes that purge at the same time, one does and the other skips it', async ({
  db,
}) => {
  const worker = await twoDone(db);
  const other = await workerOn(db, [definition]);
  await later(db);
  const release = await hold(db, `select from muster.sets for update`);
  const purging = purgeOf(worker);
  await blocked(db, 1);
  expect(await purgeOf(other)).toEqual({ sets: 0, members: 0 });
  await release();
  expect(await purging).toEqual({ sets: 2, members: 4 });
});

test('a function that was purged within the interval is skipped', async ({ db }) => {
  const worker = await twoDone(db);
  await later(db);
  await db.query(`update muster.function set purged_at = now() - interval '59 minutes'`);
  expect(await purgeOf(worker, definition, 3600)).toEqual({ sets: 0, members: 0 });
  await db.query(`update muster.function set purged_at = now() - interval '60 minutes'`);
  expect(await purgeOf(worker, definition, 3600)).toEqual({ sets: 2, members: 4 });
});

test('a purge that fails leaves no lock behind', async ({ db }) => {
  const worker = await twoDone(db);
  await later(db);
  await db.query('alter table muster.member rename to gone');
  await expect(purgeOf(worker)).rejects.toThrow('muster.member');
  await db.query('alter table muster.gone rename to member');
  expect(await purgeOf(await workerOn(db, [definition]))).toEqual({ sets: 2, members: 4 });
});

test('sets that became empty without having been complete are deleted', async ({ db }) => {
  const worker = await workerOn(db, [definition]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('d', 2, { id: 1 }));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 0], fresh: 0 }]);
  await purgeOf(worker);
  expect(await setsOf(db)).toEqual([]);
});

test('a deleted row stays as a tombstone until no older change of it can arrive', async ({
  db,
}) => {
  const worker = await workerOn(db, [definition]);
  await worker.ingestor.ingest(change('d', 5, { id: 1 }));
  await age(db, '29 days');
  expect(await purgeOf(worker)).toEqual({ sets: 0, members: 0 });
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  expect(await setsOf(db)).toEqual([]);
  await db.query(
    `update muster.member set since = now() - interval '31 days', gone_on = case when not in_set then (now() - interval '31 days')::date end`,
  );
  expect(await purgeOf(worker)).toEqual({ sets: 0, members: 2 });
});

test('the age of a rejected row is that of its newest version', async ({ db }) => {
  const worker = await workerOn(db, [definition]);
  const refused = { id: 1, k: 'x', kind: 'none' };
  await worker.ingestor.ingest(change('u', 5, refused));
  await db.query(
    `update muster.member set since = now() - interval '31 days', gone_on = case when not in_set then (now() - interval '31 days')::date end`,
  );
  await worker.ingestor.ingest(change('u', 7, refused));
  expect(await purgeOf(worker)).toEqual({ sets: 0, members: 0 });
  await worker.ingestor.ingest(change('u', 6, { id: 1, k: 'x', kind: 'a' }));
  expect(await setsOf(db)).toEqual([]);
});

test('forgetAfter deletes the run of a purged set, and the set can run again', async ({ db }) => {
  const forgetful = pairOf({ keepFor: '1 day', forgetAfter: '2 days' });
  const worker = await twoDone(db, forgetful);
  await later(db, '25 hours');
  await purgeOf(worker, forgetful);
  expect((await runsOf(db)).length).toBe(2);
  await later(db, '24 hours');
  await purgeOf(worker, forgetful);
  expect(await runsOf(db)).toEqual([]);
  worker.leases.splice(0);
  for (const each of history) await worker.ingestor.ingest(each);
  expect(worker.leases.map(({ key, revision, token }) => [key, revision, token])).toEqual([
    ['x', 2, 2],
    ['y', 2, 2],
  ]);
});
