import { expect } from 'vitest';
import type { Lease } from '../../src/state/lease.ts';
import { hold } from '../support/blocked.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { workerOn, type TestWorker } from '../support/worker.ts';
import { runsOf } from '../support/state.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

const CLAIM = { slots: 100, attempts: 10, suspect: true };

async function due(db: TestDatabase, ...keys: string[]) {
  await db.query(
    `insert into muster.run (function, key, revision, complete, state, token, attempt, due_at, created_at)
     select 1, key, 1, true, 'ready', 0, 0, now() - interval '1 hour' + n * interval '1 second', now()
     from unnest($1::text[]) with ordinality as k (key, n)`,
    [keys],
  );
}

/** Reaps the worker and registers it under another id; its runs are due again at once. */
async function die(db: TestDatabase, worker: TestWorker) {
  await worker.runs.deregister(worker.id);
  await worker.runs.reapExpired();
  await worker.runs.register(worker.id, 'test', 600);
  await db.query(
    `update muster.run set due_at = now() - interval '1 second' where state = 'ready'`,
  );
}

const attempts = (leases: readonly Lease[]) =>
  leases
    .map(({ key, attempt }) => [key, attempt] as const)
    .toSorted(([a], [b]) => a.localeCompare(b));

test('a queued run is not charged an attempt when its process dies', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await due(db, 'a', 'b', 'c');
  await worker.runs.claim(1, worker.id, 3, { ...CLAIM, slots: 1 });
  await die(db, worker);
  expect(await runsOf(db)).toMatchObject([
    { key: 'a', attempt: 1 },
    { key: 'b', attempt: 0 },
    { key: 'c', attempt: 0 },
  ]);
  expect(attempts(await worker.runs.claim(1, worker.id, 3, CLAIM))).toEqual([
    ['a', 2],
    ['b', 1],
    ['c', 1],
  ]);
});

test('once a run was lost with its process, only a recorded start counts as an attempt', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await due(db, 'a', 'b');
  await worker.runs.claim(1, worker.id, 2, CLAIM);
  await die(db, worker);
  const leases = await worker.runs.claim(1, worker.id, 2, CLAIM);
  expect(attempts(leases)).toEqual([
    ['a', 2],
    ['b', 2],
  ]);
  const a = leases.find(({ key }) => key === 'a')!;
  expect(await worker.runs.recordStarts([a])).toEqual(new Set([a]));
  await die(db, worker);
  expect(await runsOf(db)).toMatchObject([{ attempt: 2 }, { attempt: 1 }]);
});

test('only the holder of a run records its start', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await due(db, 'a');
  const old = await worker.runs.claim(1, worker.id, 1, CLAIM);
  await die(db, worker);
  const [lease] = await worker.runs.claim(1, worker.id, 1, CLAIM);
  expect(await worker.runs.recordStarts(old)).toEqual(new Set());
  await die(db, worker);
  expect(await runsOf(db)).toMatchObject([{ token: '2', attempt: lease!.attempt - 1 }]);
});

test('the only attempt of a run counts once its start is recorded, even if the run was created with a lease', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  await die(db, worker);
  const only = { ...CLAIM, attempts: 1 };
  const [again] = await worker.runs.claim(1, worker.id, 1, only);
  expect(again!.attempt).toBe(1);
  await worker.runs.recordStarts([again!]);
  await die(db, worker);
  const [givenUp] = await worker.runs.claim(1, worker.id, 1, only);
  expect(givenUp!.attempt).toBe(2);
});

test('a process holds at most one run that was lost more than once', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await due(db, 'a', 'b', 'c');
  for (let i = 0; i < 2; i++) {
    await worker.runs.recordStarts(await worker.runs.claim(1, worker.id, 3, CLAIM));
    await die(db, worker);
  }
  await due(db, 'd');
  const first = await worker.runs.claim(1, worker.id, 4, CLAIM);
  expect(first.map(({ key }) => key).toSorted()).toEqual([expect.stringMatching(/^[abc]$/), 'd']);
  expect(await worker.runs.claim(1, worker.id, 4, { ...CLAIM, suspect: false })).toEqual([]);
  const other = await workerOn(db, [pairOf()]);
  expect((await other.runs.claim(1, other.id, 4, CLAIM)).map(({ key }) => key)).toHaveLength(1);
});

test('the batch that completes a set again does not lease its run if that was lost more than once', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  worker.leases.splice(0);
  await die(db, worker);
  await worker.runs.recordStarts(await worker.runs.claim(1, worker.id, 1, CLAIM));
  await die(db, worker);
  await worker.ingestor.ingest(partB('x', 'd'));
  await worker.ingestor.ingest(partB());
  expect(worker.leases).toEqual([]);
  expect(await runsOf(db)).toMatchObject([{ state: 'ready', complete: true }]);
});

test('a run that was lost again while it was queued is not a suspect', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await due(db, 'a', 'b');
  for (let i = 0; i < 5; i++) {
    await worker.runs.claim(1, worker.id, 2, { ...CLAIM, slots: 0 });
    await die(db, worker);
  }
  const leases = await worker.runs.claim(1, worker.id, 2, CLAIM);
  expect(leases.map(({ attempt, lost }) => ({ attempt, lost }))).toEqual([
    { attempt: 1, lost: 1 },
    { attempt: 1, lost: 1 },
  ]);
});

test('after a failed attempt a run is no longer a suspect, because its process survived', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await due(db, 'a');
  for (let i = 0; i < 2; i++) {
    await worker.runs.recordStarts(await worker.runs.claim(1, worker.id, 1, CLAIM));
    await die(db, worker);
  }
  const [lease] = await worker.runs.claim(1, worker.id, 1, CLAIM);
  expect(lease!.lost).toBe(2);
  await worker.runs.fail(lease!, 'no', 0);
  const [next] = await worker.runs.claim(1, worker.id, 1, CLAIM);
  expect(next).toMatchObject({ lost: 0, attempt: lease!.attempt + 1 });
});

test('runs that were lost more than once start one after another without a delay', async ({
  db,
}) => {
  const handled: string[] = [];
  const definition = pairOf({ handle: (set) => void handled.push(set.keyText) });
  await workerOn(db, [definition]);
  await due(db, 'a', 'b', 'c');
  await db.query("update muster.run set lost = 2, attempt = 2, token = 2, start = 'recorded'");
  const engine = await engineOn(db, [definition], { CLAIM_SECONDS: '60' });
  await until(() => handled.length === 3);
  await engine.stop();
});

test('a prefetched run whose handler is running counts from the next heartbeat on', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  const definition = pairOf({
    async handle(set) {
      if (set.keyText === 'long') await gate.promise;
    },
  });
  await workerOn(db, [definition]); // registers the function
  await due(db, ...Array.from({ length: 300 }, (_, i) => `quick ${i}`), 'long');
  const engine = await engineOn(db, [definition], { CONCURRENCY: '1', LEASE_SECONDS: '1' });
  const long = `select start, token, state from muster.run where key = 'long'`;
  await until(async () => {
    const [run] = await db.query<{ state: string; start: string | null }>(long);
    return run?.state === 'running' && run.start === 'recorded';
  });
  gate.resolve();
  await engine.stop();
  expect(await db.query(`select from muster.run where state <> 'done'`)).toEqual([]);
});

test('a run without attempts left fails before its rows are loaded', async ({ db }) => {
  let calls = 0;
  const definition = pairOf({ retry: { attempts: 2 }, handle: () => void calls++ });
  const worker = await workerOn(db, [definition]);
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  await db.query(`update muster.run set attempt = 2, lost = 2, start = 'recorded', token = 2,
                                        due_at = now() + interval '1 hour'`);
  const engine = await engineOn(db, [definition], { STATEMENT_TIMEOUT_SECONDS: '60' });
  // blocks every read of rows
  const release = await hold(db, 'lock table muster.member in access exclusive mode');
  await db.query(`update muster.run set due_at = now()`);
  await until(async () => (await runsOf(db))[0]?.state === 'failed');
  expect(await db.query('select error from muster.run')).toEqual([
    { error: 'TerminalError: given up after 2 attempts that ended with their process' },
  ]);
  expect(calls).toBe(0);
  await release();
  await engine.stop();
});

test('a run that was lost before it started, rested and began again has the same attempt as through the queue', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  worker.leases.splice(0);
  const only = { ...CLAIM, attempts: 1 };
  await die(db, worker);
  await worker.ingestor.ingest(partB('x', 'd'));
  expect(await worker.runs.claim(1, worker.id, 1, only)).toEqual([]);
  await worker.ingestor.ingest(partB());
  expect(worker.leases).toEqual([]);
  expect(await worker.runs.claim(1, worker.id, 1, only)).toMatchObject([{ attempt: 1, lost: 1 }]);
  await die(db, worker); // before its start was recorded
  expect(await db.query('select attempt, lost from muster.sets')).toEqual([
    { attempt: 0, lost: 1 },
  ]);
});
