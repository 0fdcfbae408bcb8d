/** Statements that lock several rows lock them in the same order, so that they never deadlock. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { fireDeadlines } from '../../../src/state/runs/deadlines.ts';
import { clearParts } from '../../../src/state/registration/parts.ts';
import { purge } from '../../../src/state/purge.ts';
import { discardRuns, retryFailed, retryNow } from '../../../src/state/runs/retry-sets.ts';
import type { Change } from '../../../src/state/change.ts';
import type { Lease } from '../../../src/state/lease.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { workerOn, type TestWorker } from '../../support/worker.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const timed = pairOf({ overdueAfter: '1 hour' });

/** Ingests these changes with one statement. */
const batch = (worker: TestWorker, changes: readonly Change[]) =>
  Promise.all(changes.map((each) => worker.ingestor.ingest(each)));

/**
 * Lets both wait for a row that is locked here, the first one at the head of the queue, and then releases it. A
 * deadlock shows in the server's count, because the ingest statement is repeated after one.
 */
async function meet(
  db: TestDatabase,
  workers: readonly TestWorker[],
  held: string,
  first: () => Promise<unknown>,
  second: () => Promise<unknown>,
): Promise<void> {
  const release = await hold(db, held);
  const one = first();
  await blocked(db, 1);
  const two = second();
  await blocked(db, 2);
  await release();
  await Promise.all([one, two]);
  await Promise.all(workers.map((worker) => worker.close()));
  expect(
    await db.query('select deadlocks from pg_stat_database where datname = current_database()'),
  ).toEqual([{ deadlocks: '0' }]);
}

const SET_P = `select from muster.sets where key = 'p' for update`;

/** Two processes, the first with sets p and q that are incomplete, past their deadline. */
async function overdue(db: TestDatabase): Promise<[TestWorker, TestWorker]> {
  const workers = [await workerOn(db, [timed]), await workerOn(db, [timed])] as const;
  await batch(workers[0], [partA('p'), partA('q')]);
  await db.query(`update muster.deadline set due_at = now() - interval '1 second'`);
  await db.query(`update muster.member set since = now() - interval '2 hours'`);
  return [...workers];
}

test('an ingest that waits behind deadlines locks sets in their order', async ({ db }) => {
  const [worker, other] = await overdue(db);
  await meet(
    db,
    [worker, other],
    SET_P,
    () => fireDeadlines(worker.database, [1]),
    () => batch(other, [partB('q'), partB('p')]),
  );
});

test('deadlines that wait behind an ingest lock sets in its order', async ({ db }) => {
  const [worker, other] = await overdue(db);
  await meet(
    db,
    [worker, other],
    SET_P,
    () => batch(other, [partB('q'), partB('p')]),
    () => fireDeadlines(worker.database, [1]),
  );
});

test('starts are recorded in the order of their leases', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const keys = Array.from({ length: 8 }, (_, n) => `k${n}`);
  await batch(
    worker,
    keys.flatMap((key) => [partA(key), partB(key)]),
  );
  const leases: Lease[] = [];
  while (leases.length < keys.length) leases.push(...(await worker.runs.claim(1, worker.id, 1)));
  const byClaim = leases.toSorted((a, b) => (a.claim < b.claim ? -1 : 1));
  const release = await hold(
    db,
    `select from muster.lease where claim = '${byClaim[0]!.claim}' for update`,
  );
  const recorded = worker.runs.recordStarts(byClaim.toReversed());
  await blocked(db, 1);
  expect(await db.query('select from muster.lease for update skip locked')).toHaveLength(7);
  await release();
  expect((await recorded).size).toBe(8);
});

/** Failed runs of the sets p and q; that of q failed first. */
async function failedRuns(db: TestDatabase): Promise<[TestWorker, TestWorker]> {
  const workers = [
    await workerOn(db, [pairOf()], { slots: 2 }),
    await workerOn(db, [pairOf()]),
  ] as const;
  await batch(workers[0], [partA('p'), partB('p'), partA('q'), partB('q')]);
  const leases = workers[0].leases.toSorted((a, b) => (a.key < b.key ? 1 : -1));
  for (const lease of leases) await workers[0].runs.fail(lease, 'never', null);
  return [...workers];
}

test.for([
  ['retried', retryFailed],
  ['discarded', discardRuns],
] as const)(
  'failed runs are %s in the order in which filing locks them',
  async ([, work], { db }) => {
    const [worker, other] = await failedRuns(db);
    await meet(
      db,
      [worker, other],
      SET_P,
      () => batch(other, [partA('q', 'd'), partA('p', 'd')]),
      () => work(worker.database, 1, null),
    );
  },
);

test('runs in back-off are made due in the lock order of an ingest', async ({ db }) => {
  const [worker, other] = await failedRuns(db);
  await db.query(
    `update muster.run set state = 'ready', finished_at = null,
       due_at = now() + case key when 'p' then interval '2 hours' else interval '1 hour' end`,
  );
  await meet(
    db,
    [worker, other],
    SET_P,
    () => batch(other, [partA('q', 'd'), partA('p', 'd')]),
    () => retryNow(worker.database, 1, null),
  );
});

test.for([
  ['retried', retryFailed, 'failed'],
  ['discarded', discardRuns, 'failed'],
  ['made due', retryNow, 'ready'],
] as const)('a run that starts meanwhile is not %s', async ([, work, state], { db }) => {
  const [worker] = await failedRuns(db);
  await db.query(`update muster.run set state = $1, due_at = now() + interval '1 hour'`, [state]);
  // as a claim, or the ingest statement, starts it
  const release = await hold(
    db,
    `update muster.run set state = 'running', token = token + 1, finished_at = null, due_at = now() where key = 'p'`,
  );
  const working = work(worker.database, 1, 'p');
  await blocked(db, 1);
  await release();
  expect(await working).toBe(0);
  expect(await db.query(`select state from muster.run where key = 'p'`)).toEqual([
    { state: 'running' },
  ]);
});

const forgetful = pairOf({ keepFor: '0 seconds', forgetAfter: '0 seconds' });
const purgeOf = (worker: TestWorker, tombstoneSeconds = 0, definition = forgetful) =>
  purge(worker.database, [{ definition, served: worker.served[0]! }], { tombstoneSeconds });

test('runs are forgotten in the lock order of an ingest', async ({ db }) => {
  const [worker, other] = [
    await workerOn(db, [forgetful], { slots: 2 }),
    await workerOn(db, [forgetful]),
  ];
  const rows = [partA('q'), partB('q'), partA('p'), partB('p')];
  await batch(worker, rows);
  await worker.runs.finish(worker.leases.map((lease) => ({ lease, events: [] })));
  await purgeOf(worker, 0, pairOf({ keepFor: '0 seconds' }));
  // with this token, forgetting needs no barrier, which would wait for the batch
  await db.query('update muster.function set forgotten_token = 9, forgotten_revision = 9');
  await meet(
    db,
    [worker, other],
    SET_P,
    () => batch(other, rows),
    () => purgeOf(worker),
  );
});

test('empty sets are dropped in the lock order of an ingest', async ({ db }) => {
  const [worker, other] = [await workerOn(db, [forgetful]), await workerOn(db, [forgetful])];
  await batch(worker, [partA('q'), partA('p')]);
  await batch(worker, [partA('q', 'd'), partA('p', 'd')]);
  await meet(
    db,
    [worker, other],
    SET_P,
    () => batch(other, [partB('q'), partB('p')]),
    () => purgeOf(worker),
  );
});

test('rows and sets of done sets are purged in the lock order of an ingest', async ({ db }) => {
  const [worker, other] = [
    await workerOn(db, [forgetful], { slots: 2 }),
    await workerOn(db, [forgetful]),
  ];
  await batch(worker, [partA('q'), partB('q'), partA('p'), partB('p')]);
  await worker.runs.finish(worker.leases.map((lease) => ({ lease, events: [] })));
  await meet(
    db,
    [worker, other],
    SET_P,
    () => batch(other, [partA('q', 'u', 'new-q'), partA('p', 'u', 'new-p')]),
    () => purgeOf(worker),
  );
});

const row = (id: string) =>
  `select from muster.member where function = 1 and part_index = 1 and id = '${id}' for update`;

test('rows of done sets are locked in the order of an ingest', async ({ db }) => {
  const [worker, other] = [
    await workerOn(db, [forgetful], { slots: 2 }),
    await workerOn(db, [forgetful]),
  ];
  // by the order of their sets: z, a
  await batch(worker, [partA('p', 'u', 'z'), partB('p'), partA('q', 'u', 'a'), partB('q')]);
  await worker.runs.finish(worker.leases.map((lease) => ({ lease, events: [] })));
  await meet(
    db,
    [worker, other],
    row('a'),
    () => batch(other, [partA('p', 'd', 'z'), partA('q', 'd', 'a')]),
    () => purgeOf(worker),
  );
});

test('tombstones are locked in the order of an ingest', async ({ db }) => {
  const [worker, other] = [await workerOn(db, [forgetful]), await workerOn(db, [forgetful])];
  await worker.ingestor.ingest(change('d', 5, { id: 'z' }));
  await worker.ingestor.ingest(change('d', 5, { id: 'a' }));
  await meet(
    db,
    [worker, other],
    row('a'),
    () => batch(other, [partA('p', 'u', 'z'), partA('q', 'u', 'a')]),
    () => purgeOf(worker),
  );
});

test('sets of a former part are locked in the order of an ingest', async ({ db }) => {
  const old = await workerOn(db, [pairOf()]);
  await batch(old, [partB('q'), partB('p')]);
  const parts = { a: { table: 'public.item', key: 'k', where: { kind: 'a' } } };
  const [worker, other] = [
    await workerOn(db, [pairOf({ parts })]),
    await workerOn(db, [pairOf({ parts })]),
  ];
  await meet(
    db,
    [worker, other],
    SET_P,
    () => batch(other, [partA('q'), partA('p')]),
    () => clearParts(worker.database, 1, () => false),
  );
});

/** Resolves with the errors of both; each waits for what `locks` takes. */
async function meetWorkers(
  db: TestDatabase,
  locks: string,
  first: () => Promise<unknown>,
  second: () => Promise<unknown>,
) {
  const release = await hold(db, locks);
  const one = Promise.allSettled([first()]);
  await sleep(300); // it waits, or is over
  const two = Promise.allSettled([second()]);
  await sleep(300);
  await release();
  const results = [...(await one), ...(await two)];
  return results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
}

test('a renewal of an expired lease and a reaper never deadlock', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  const other = await workerOn(db, [pairOf()]);
  await batch(worker, [partA('p'), partB('p')]);
  await worker.runs.finish([{ lease: worker.leases[0]!, events: [] }]);
  await db.query(`update muster.worker set lease_until = now() - interval '1 s' where id = $1`, [
    worker.id,
  ]);
  const errors = await meetWorkers(
    db,
    `select from muster.worker where id = '${worker.id}' for update`,
    () => worker.runs.renew(worker.id, 60),
    () => other.runs.reapExpired(),
  );
  expect(errors).toEqual([]);
});

test('a renewal and the end of claims never deadlock', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const claims = [1, 2, 3].map((n) => `00000000-0000-0000-0000-00000000000${n}`);
  for (const claim of claims.toReversed()) {
    await db.query(
      `insert into muster.lease (claim, chunk, function, worker, since, keys, tokens, attempts, lates, starts)
       values ($1, 0, 1, $2, now(), array[muster.key_hash('p')], '{1}', '{1}', '{0}', '{counts}')`,
      [claim, worker.id],
    );
  }
  const errors = await meetWorkers(
    db,
    `select from muster.lease where claim = '${claims[1]}' for update`,
    () => worker.runs.renew(worker.id, 60),
    () => worker.runs.endClaims(claims),
  );
  expect(errors).toEqual([]);
});

test('a reaper does not wait for a worker that renews its lease', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const other = await workerOn(db, [pairOf()]);
  await db.query(`update muster.worker set lease_until = now() - interval '1 s' where id = $1`, [
    worker.id,
  ]);
  const renewal = `select from muster.worker where id = '${worker.id}' for update`;
  const release = await hold(db, renewal);
  await other.runs.reapExpired();
  await release();
  expect(await worker.runs.renew(worker.id, 60)).toEqual([]);
});
