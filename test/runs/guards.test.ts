import { expect } from 'vitest';
import { Runner } from '../../src/runs/runner.ts';
import { blocked, hold } from '../support/blocked.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { workerOn, type TestWorker } from '../support/worker.ts';
import { runsOf } from '../support/state.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

async function leased(worker: TestWorker, key = 'x') {
  for (const each of [partA(key), partB(key)]) await worker.ingestor.ingest(each);
  return worker.leases.find((lease) => lease.key === key)!;
}

test('a failed run is not claimed before its backoff is over', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await worker.runs.fail(await leased(worker), 'no', 3_600_000);
  expect(await worker.runs.claim(1, worker.id, 10)).toEqual([]);
});

test('a late failure, release or start of an older lease does not change the run', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  const old = await leased(worker);
  await worker.runs.deregister(worker.id);
  await worker.runs.reapExpired();
  const other = await workerOn(db, [pairOf()]);
  await other.runs.claim(1, other.id, 1);
  const before = await db.query('select * from muster.run');
  expect(await worker.runs.fail(old, 'late', null)).toBe(false);
  await worker.runs.release([old]);
  expect(await worker.runs.recordStarts([old])).toEqual(new Set());
  expect(await db.query('select * from muster.run')).toEqual(before);
  expect(await db.query('select from muster.outbox')).toEqual([]);
});

test('a start is not recorded for a run that another worker leased meanwhile, though its claim is open', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  for (const key of ['x', 'y']) await leased(worker, key);
  const claimed = await worker.runs.claim(1, worker.id, 2);
  const old = claimed.find(({ key }) => key === 'x')!;
  await worker.runs.release([old]);
  const other = await workerOn(db, [pairOf()]);
  await other.runs.claim(1, other.id, 1);
  expect(await worker.runs.recordStarts([old])).toEqual(new Set());
});

test('isDone checks one lease: it is false if another worker completed the run', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  const old = await leased(worker);
  const lease = { ...old, token: 2 };
  await db.query('update muster.run set token = 2');
  await worker.runs.finish([{ lease, events: [] }]);
  expect(await worker.runs.isDone(lease)).toBe(true);
  expect(await worker.runs.isDone(old)).toBe(false);
});

test('isDone waits for a COMMIT in progress', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  const lease = await leased(worker);
  const commit = await hold(db, `update muster.run set state = 'done'`);
  const isDone = worker.runs.isDone(lease);
  await blocked(db);
  await commit();
  expect(await isDone).toBe(true);
});

/** A runner whose handler waits for its gate, on a worker that ingests. */
async function runnerOn(db: TestDatabase, leaseSeconds: number) {
  const gate = Promise.withResolvers<void>();
  const signals: AbortSignal[] = [];
  const definition = pairOf({
    async handle(_set, { signal }) {
      signals.push(signal);
      await gate.promise;
    },
  });
  const worker = await workerOn(db, [definition], { slots: 1 });
  const runner = new Runner({
    database: worker.database,
    runs: worker.runs,
    functions: [{ definition, served: worker.served[0]! }],
    slots: 4,
    leaseSeconds,
    url: db.url,
    maxSetBytes: 1024 * 1024,
    log: { info() {}, warn() {}, error() {} },
    onResult() {},
    onBlocked() {},
    onFree() {},
  });
  await runner.register();
  worker.id = runner.worker;
  const lease = await leased(worker);
  runner.start([lease], { slots: 0, ahead: 0 });
  await until(() => signals.length === 1);
  const stop = async () => {
    gate.resolve();
    await runner.drain(2_000);
    await runner.deregister();
  };
  return { worker, runner, signal: signals[0]!, stop };
}

test('a renewal aborts only the runs that this process no longer holds', async ({ db }) => {
  const { runner, signal, stop } = await runnerOn(db, 600);
  await runner.renew();
  expect(signal.aborted).toBe(false);
  await db.query(`update muster.run set token = token + 1`);
  await runner.renew();
  expect(signal.reason).toMatchObject({ message: 'the lease of this run was lost' });
  await stop();
});

test('a failed renewal aborts no handler while the lease is valid', async ({ db }) => {
  const { runner, signal, stop } = await runnerOn(db, 600);
  await db.query('alter table muster.worker rename to pod_away');
  await expect(runner.renew()).rejects.toThrow('does not exist');
  expect(signal.aborted).toBe(false);
  await db.query('alter table muster.pod_away rename to worker');
  await stop();
});

test('handlers are aborted once the lease has expired without a renewal', async ({ db }) => {
  const { runner, signal, stop } = await runnerOn(db, 1);
  // makes the statement of the heartbeat thread fail, too
  await db.query('alter table muster.worker rename to pod_away');
  await until(async () => {
    await runner.renew().catch(() => {});
    return signal.aborted;
  });
  expect(signal.reason).toMatchObject({
    message: 'the leases of this process could not be renewed in time',
  });
  await db.query('alter table muster.pod_away rename to worker');
  await stop();
});

test('a process whose lease was deleted continues under a new id', async ({ db }) => {
  const { runner, signal, stop } = await runnerOn(db, 600);
  const name = runner.worker;
  await db.query('delete from muster.worker where id = $1', [name]);
  await runner.renew();
  expect(signal.aborted).toBe(true);
  expect(runner.worker).not.toBe(name);
  // runs that are still leased to the old id are released, and not treated as leased to this process
  await db.query(`update muster.run set state = 'running', worker = $1`, [name]);
  await runner.renew();
  await runner.renew();
  expect(await runsOf(db)).toMatchObject([{ state: 'ready' }]);
  await stop();
});

test('a log line without fields, or with only text, does not fail the run', async ({ db }) => {
  const engine = await engineOn(db, [
    pairOf({
      retry: { attempts: 1 },
      handle(_set, { log }) {
        log.info(undefined as never, 'without fields');
        log.warn(null as never, 'with null');
        log.info(...(['as text'] as unknown as [object, string]));
        log.error(
          {
            get broken(): string {
              throw new Error('no value');
            },
          },
          'with a getter that throws',
        );
      },
    }),
  ]);
  for (const each of [partA(), partB()]) await engine.ingestor.ingest(each);
  await until(async () => /done|failed/.test((await runsOf(db))[0]?.state ?? ''));
  expect(await runsOf(db)).toMatchObject([{ state: 'done' }]);
  const said = engine.lines.map(({ message }) => message);
  expect(said).toEqual(expect.arrayContaining(['without fields', 'with null', 'as text']));
  await engine.stop();
});
