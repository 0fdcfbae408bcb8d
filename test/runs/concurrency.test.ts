import { expect } from 'vitest';
import { blocked, hold } from '../support/blocked.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { runsOf } from '../support/state.ts';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';

/** Handlers that wait for a gate, and the number of concurrent ones. */
function counted() {
  const waiting: (() => void)[] = [];
  const seen = { now: 0, most: 0, attempts: 0 };
  const handle = async () => {
    seen.attempts++;
    seen.most = Math.max(seen.most, ++seen.now);
    await new Promise<void>((resolve) => void waiting.push(resolve));
    seen.now--;
  };
  return { waiting, seen, handle };
}

const keys = Array.from({ length: 12 }, (_, i) => `k${i}`);

test('a concurrency limit holds over all workers, and the next run starts as soon as one ends', async ({
  db,
}) => {
  const { waiting, seen, handle } = counted();
  const definition = pairOf({ concurrency: 3, handle });
  // A minute between periodic claims: runs that start during the test start because another one has ended.
  const one = await engineOn(db, [definition], { CLAIM_SECONDS: '60' });
  const two = await engineOn(db, [definition], { CLAIM_SECONDS: '60' });
  await Promise.all(
    keys.flatMap((key, i) => {
      const engine = i % 2 === 0 ? one : two;
      return [partA(key), partB(key)].map((each) => engine.ingestor.ingest(each));
    }),
  );
  for (let ended = 0; ended < keys.length; ended++) {
    await until(() => waiting.length > 0);
    const rows = await db.query(`select from muster.run where state = 'running'`);
    expect(rows.length).toBeLessThanOrEqual(3);
    waiting.shift()!();
  }
  await until(async () => (await runsOf(db)).every(({ state }) => state === 'done'));
  expect(seen).toEqual({ now: 0, most: 3, attempts: keys.length });
  await Promise.all([one.stop(), two.stop()]);
});

test('two workers that claim at the same moment stay within the limit', async ({ db }) => {
  const definition = pairOf({ concurrency: 3 });
  const one = await workerOn(db, [definition], { slots: 5 });
  const two = await workerOn(db, [definition], { slots: 5 });
  await Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => one.ingestor.ingest(each)),
  );
  expect(one.leases).toEqual([]); // none of its runs is created leased
  const release = await hold(db, 'select from muster.function for update');
  const claims = [one, two].map((worker) => worker.runs.claimLimited(1, worker.id, 2, 3));
  await blocked(db, 2);
  await release();
  const leases = await Promise.all(claims);
  expect(leases.map((each) => each.length).toSorted((a, b) => a - b)).toEqual([1, 2]);
});

test('a worker runs at most one handler per slot, and starts the others as slots become free', async ({
  db,
}) => {
  const { waiting, seen, handle } = counted();
  const engine = await engineOn(db, [pairOf({ handle })], {
    CONCURRENCY: '2',
    CLAIM_SECONDS: '60',
  });
  await Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => engine.ingestor.ingest(each)),
  );
  for (let ended = 0; ended < keys.length; ended++) {
    await until(() => waiting.length > 0);
    waiting.shift()!();
  }
  await until(async () => (await runsOf(db)).every(({ state }) => state === 'done'));
  expect(seen).toEqual({ now: 0, most: 2, attempts: keys.length });
  await engine.stop();
});

test('slots go to sets that become complete, not to complete ones that change', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 10 });
  const old = ['a1', 'a2', 'a3'];
  for (const key of old) {
    for (const each of [partA(key), partB(key)]) await worker.ingestor.ingest(each);
  }
  await worker.runs.finish(worker.leases.splice(0).map((lease) => ({ lease, events: [] })));
  worker.slots = 1;
  await worker.ingestor.ingest(partA('z'));
  await Promise.all(
    [...old.map((key) => partA(key)), partB('z')].map((each) => worker.ingestor.ingest(each)),
  );
  expect(worker.leases.map(({ key }) => key)).toEqual(['z']);
});

test('a batch leases at most as many runs as there are slots', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 3 });
  await Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => worker.ingestor.ingest(each)),
  );
  expect(worker.leases.length).toBe(3);
  expect((await worker.runs.claim(1, worker.id, 100)).length).toBe(9);
});

test('a run does not wait for the runs of another function', async ({ db }) => {
  const { waiting, handle } = counted();
  const engine = await engineOn(
    db,
    [pairOf({ concurrency: 1, handle }), pairOf({ name: 'other', handle() {} })],
    { CONCURRENCY: '2' },
  );
  for (const key of ['x', 'y', 'z']) {
    for (const each of [partA(key), partB(key)]) await engine.ingestor.ingest(each);
  }
  await until(async () => (await runsOf(db)).filter(({ state }) => state === 'done').length === 3);
  await until(() => waiting.length > 0);
  for (let i = 0; i < 3; i++) {
    await until(() => waiting.length > 0);
    waiting.shift()!();
  }
  await until(async () => (await runsOf(db)).every(({ state }) => state === 'done'));
  await engine.stop();
});

test('functions share the slots of a process, however long the backlog of one is', async ({
  db,
}) => {
  const { waiting, handle } = counted();
  const started: string[] = [];
  const named = (name: string) =>
    pairOf({
      name,
      handle: () => {
        started.push(name);
        return handle();
      },
    });
  const definitions = [named('long'), named('short'), named('third')];
  const engine = await engineOn(db, definitions, { CONCURRENCY: '1', CLAIM_SECONDS: '60' });
  await Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => engine.ingestor.ingest(each)),
  );
  for (let ended = 0; ended < 6; ended++) {
    await until(() => waiting.length > 0);
    waiting.shift()!();
  }
  const each = Object.groupBy(started.slice(0, 6), (name) => name);
  expect(Object.keys(each).toSorted()).toEqual(['long', 'short', 'third']);
  for (const release of waiting) release();
  await engine.stop();
});

test('a slot below the limit is filled at once, even after a claim that found the function at its limit', async ({
  db,
}) => {
  const { waiting, handle } = counted();
  const gate = Promise.withResolvers<void>();
  const engine = await engineOn(
    db,
    [pairOf({ concurrency: 2, handle }), pairOf({ name: 'other', handle: () => gate.promise })],
    { CLAIM_SECONDS: '60', CONCURRENCY: '20' },
  );
  await Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => engine.ingestor.ingest(each)),
  );
  await until(() => waiting.length === 2);
  // Claims all due runs, as triggered by intake of another function, and finds nothing to start.
  await engine.untilIdle(300);
  for (let ended = 0; ended < keys.length; ended++) {
    await until(() => waiting.length > 0);
    waiting.shift()!();
  }
  gate.resolve();
  await until(async () => (await runsOf(db)).every(({ state }) => state === 'done'));
  await engine.stop();
});

test("a claim under a limit that waits until its worker's lease has expired gets nothing", async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf({ concurrency: 3 })]);
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  const release = await hold(db, 'select from muster.function for no key update');
  const claim = worker.runs.claimLimited(1, worker.id, 1, 3);
  await blocked(db, 1, '%muster.function%');
  await db.query('update muster.worker set lease_until = clock_timestamp()');
  await release();
  expect(await claim).toEqual([]);
});
