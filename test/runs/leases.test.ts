import { expect } from 'vitest';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { runsOf } from '../support/state.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

async function complete(
  worker: { ingestor: { ingest(change: ReturnType<typeof partA>): unknown } },
  ...keys: string[]
) {
  for (const key of keys) {
    await Promise.all([worker.ingestor.ingest(partA(key)), worker.ingestor.ingest(partB(key))]);
  }
}

test('a handler that runs longer than its lease keeps the lease while its process is alive', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  let attempts = 0;
  const definition = pairOf({
    async handle() {
      attempts++;
      await gate.promise;
    },
  });
  const engine = await engineOn(db, [definition], { LEASE_SECONDS: '1' });
  const other = await engineOn(db, [definition], { LEASE_SECONDS: '1' });
  await complete(engine, 'x');
  const first = await db.query<{ until: Date }>(
    'select max(lease_until) as until from muster.worker',
  );
  await until(async () => {
    const rows = await db.query(
      `select from muster.worker where lease_until > $1::timestamptz + interval '1.5 seconds'`,
      [first[0]!.until],
    );
    return rows.length === 2;
  });
  gate.resolve();
  await until(async () => (await runsOf(db))[0]?.state === 'done');
  expect([attempts, (await runsOf(db))[0]!.token]).toEqual([1, '1']);
  await Promise.all([engine.stop(), other.stop()]);
});

test('the runs of a killed worker continue elsewhere, and the attempt counts', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 2 });
  const other = await workerOn(db, [pairOf()]);
  await complete(worker, 'x', 'y');
  expect(await other.runs.reapExpired()).toBe(0);
  await db.query(
    `update muster.worker set lease_until = now() - interval '1 second' where id = $1`,
    [worker.id],
  );
  expect(await other.runs.reapExpired()).toBe(2);
  expect(await other.runs.reapExpired()).toBe(0);
  expect(await db.query('select id from muster.worker')).toEqual([{ id: other.id }]);
  const leases = await other.runs.claim(1, other.id, 10);
  expect(leases.map(({ key, token, attempt }) => [key, token, attempt])).toEqual([
    ['x', 2, 2],
    ['y', 2, 2],
  ]);
});

test('a worker that is reaped while it claims a run does not keep it', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  const other = await workerOn(db, [pairOf()]);
  await worker.runs.deregister(worker.id);
  await complete(worker, 'x');
  expect(await runsOf(db)).toMatchObject([{ state: 'running' }]);
  expect(await other.runs.reapExpired()).toBe(1);
  expect(await worker.runs.renew(worker.id, 10)).toBe(null);
});

test('a worker whose lease has expired claims nothing', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await complete(worker, 'x');
  await db.query(`update muster.worker set lease_until = now() - interval '1 second'`);
  expect(await worker.runs.claim(1, worker.id, 10)).toEqual([]);
});

test('a run released at a shutdown counts no attempt, and is due at once', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await complete(worker, 'x');
  await worker.runs.release(worker.leases);
  const [lease] = await worker.runs.claim(1, worker.id, 10);
  expect([lease!.token, lease!.attempt]).toEqual([2, 1]);
  // a former holder can't release it
  await worker.runs.release(worker.leases);
  expect(await runsOf(db)).toMatchObject([{ state: 'running', token: '2', attempt: 1 }]);
});

test('due runs are claimed oldest first, and only those that are due', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await complete(worker, 'x', 'y', 'z');
  await db.query(`update muster.run set due_at = now() - interval '1 minute' where key = 'z'`);
  await db.query(`update muster.run set due_at = now() + interval '1 minute' where key = 'x'`);
  expect((await worker.runs.claim(1, worker.id, 1)).map(({ key }) => key)).toEqual(['z']);
  expect((await worker.runs.claim(1, worker.id, 10)).map(({ key }) => key)).toEqual(['y']);
});

test('renewals find a lease whose response was lost, and start its run', async ({ db }) => {
  const seen: string[] = [];
  const engine = await engineOn(db, [pairOf({ handle: (set) => void seen.push(set.keyText) })], {
    LEASE_SECONDS: '1',
  });
  // Another worker's batch gets a lease, which is moved to the engine's worker, as if its response was lost.
  const [row] = await db.query<{ id: string }>('select id from muster.worker');
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  worker.id = row!.id;
  await complete(worker, 'x');
  expect(await runsOf(db)).toMatchObject([{ state: 'running', token: '1' }]);
  await until(async () => (await runsOf(db))[0]?.state === 'done');
  expect(seen).toEqual(['x']);
  await engine.stop();
});

test('at a stop, running handlers may end within the grace period; other runs are released without counting an attempt', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  const signals: AbortSignal[] = [];
  const definition = pairOf({
    async handle(set, { signal }) {
      signals.push(signal);
      if (set.keyText === 'quick') await gate.promise;
      else await new Promise(() => {});
    },
  });
  const engine = await engineOn(db, [definition], { DRAIN_SECONDS: '1' });
  await complete(engine, 'quick', 'stuck');
  await until(() => signals.length === 2);
  const stopping = engine.stop();
  await expect(engine.ingestor.ingest(partA('z'))).rejects.toMatchObject({ reason: 'draining' });
  gate.resolve();
  await stopping;
  expect((await runsOf(db)).map(({ key, state, attempt }) => [key, state, attempt])).toEqual([
    ['quick', 'done', 1],
    ['stuck', 'ready', 0],
  ]);
  expect(await db.query('select * from muster.worker')).toEqual([]);
});

/** Creates a backlog of due runs, oldest first. */
async function backlog(db: TestDatabase, keys: readonly string[]) {
  await db.query(
    `insert into muster.run (function, key, revision, complete, state, token, attempt, due_at, created_at)
     select 1, key, 1, true, 'ready', 0, 0, now() - interval '1 hour' + n * interval '1 second', now()
     from unnest($1::text[]) with ordinality as k (key, n)`,
    [keys],
  );
}

const QUICK = Array.from({ length: 400 }, (_, i) => `quick ${i}`);
const count = async (db: TestDatabase, condition: string) =>
  (await db.query(`select from muster.run where ${condition}`)).length;

test('while handlers are fast, runs are prefetched; a stop releases them without counting an attempt', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  let most = 0;
  let now = 0;
  const definition = pairOf({
    async handle(set) {
      most = Math.max(most, ++now);
      if (set.keyText.startsWith('slow')) await gate.promise;
      now--;
    },
  });
  await workerOn(db, [definition]); // registers the function
  await backlog(db, [...QUICK, 'slow', ...QUICK.map((key) => `late ${key}`)]);
  const engine = await engineOn(db, [definition], { CONCURRENCY: '1' });
  await until(async () => (await count(db, `state = 'done'`)) === QUICK.length);
  await until(async () => (await count(db, `state = 'running'`)) > 1);
  const stopping = engine.stop();
  await until(async () => (await count(db, `state = 'running'`)) === 1);
  gate.resolve();
  await stopping;
  expect(await count(db, `state = 'done'`)).toBe(QUICK.length + 1);
  expect(await count(db, `state = 'ready' and attempt = 0`)).toBe(QUICK.length);
  expect(most).toBe(1);
});

test('while handlers are slow, a free slot takes the next run at once, not with the next poll', async ({
  db,
}) => {
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const definition = pairOf({
    async handle({ keyText }) {
      const gate = Promise.withResolvers<void>();
      gates.set(keyText, gate);
      await gate.promise;
    },
  });
  await workerOn(db, [definition]);
  await backlog(db, QUICK.slice(0, 9));
  const engine = await engineOn(db, [definition], { CONCURRENCY: '8', CLAIM_SECONDS: '60' });
  await until(() => gates.size === 8);
  const [first] = gates.values();
  first!.resolve();
  await until(() => gates.size === 9);
  for (const gate of gates.values()) gate.resolve();
  await engine.stop();
  expect(await count(db, `state = 'done'`)).toBe(9);
});

test('runs that are queued behind a handler that became slow are released for other workers', async ({
  db,
}) => {
  const gate = Promise.withResolvers<void>();
  const definition = pairOf({
    async handle(set) {
      if (set.keyText === 'slow') await gate.promise;
    },
  });
  await workerOn(db, [definition]);
  await backlog(db, [...QUICK, 'slow', ...QUICK.map((key) => `late ${key}`)]);
  const settings = { CONCURRENCY: '1', LEASE_SECONDS: '1' };
  const engine = await engineOn(db, [definition], settings);
  await until(async () => (await count(db, `state = 'running'`)) > 1);
  // all but the one in the slot are released, and not claimed again
  await until(async () => (await count(db, `state = 'running'`)) === 1);
  const other = await engineOn(db, [definition], settings);
  await until(async () => (await count(db, `state = 'done'`)) === 2 * QUICK.length);
  gate.resolve();
  await until(
    async () => (await count(db, `state = 'done' and attempt = 1`)) === 2 * QUICK.length + 1,
  );
  await Promise.all([engine.stop(), other.stop()]);
});
