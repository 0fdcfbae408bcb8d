import { expect } from 'vitest';
import type { FunctionDefinition, HandlerContext } from '../../src/function.ts';
import { blocked, hold } from '../support/blocked.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { runsOf } from '../support/state.ts';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';

/** A function whose handler writes a row, then waits for the gate of its attempt. */
function gated() {
  const gates: PromiseWithResolvers<void>[] = [];
  const contexts: HandlerContext[] = [];
  const definition: FunctionDefinition = pairOf({
    async handle(_set, context) {
      const gate = Promise.withResolvers<void>();
      await context.tx.query('insert into effect values ($1, $2)', [
        context.runId,
        context.attempt,
      ]);
      contexts.push(context);
      gates.push(gate);
      await gate.promise;
      return [{ type: 'pair.done', data: context.attempt }];
    },
  });
  return { gates, contexts, definition };
}

const events = 'select event_id, data from muster.outbox';

test('a late commit of a run that was taken over is refused, and its writes are rolled back', async ({
  db,
}) => {
  await db.query('create table effect (run text, attempt int)');
  const { gates, definition } = gated();
  // Leases of 600 s are renewed every 200 s: the first engine does not notice that it was reaped.
  const paused = await engineOn(db, [definition], { LEASE_SECONDS: '600' });
  for (const each of [partA(), partB()]) await paused.ingestor.ingest(each);
  await until(() => gates.length === 1);

  await db.query(`update muster.worker set lease_until = now() - interval '1 second'`);
  const other = await engineOn(db, [definition], { LEASE_SECONDS: '1' });
  await until(() => gates.length === 2);
  gates[0]!.resolve();
  await until(() => paused.lines.some(({ message }) => message.startsWith('another worker took')));
  expect(await db.query('select * from effect')).toEqual([]);
  expect(await db.query(events)).toEqual([]);
  expect(await runsOf(db)).toMatchObject([{ state: 'running', token: '2', attempt: 2 }]);

  gates[1]!.resolve();
  await until(async () => (await runsOf(db))[0]?.state === 'done');
  expect(await db.query('select * from effect')).toEqual([{ run: 'pair/x/1', attempt: 2 }]);
  expect(await db.query(events)).toEqual([{ event_id: 'pair/x/1/0', data: 2 }]);
  await Promise.all([paused.stop(), other.stop()]);
});

test('a late commit is refused once the run is released, even before another worker claims it', async ({
  db,
}) => {
  await db.query('create table effect (run text, attempt int)');
  const { gates, definition } = gated();
  const engine = await engineOn(db, [definition], { LEASE_SECONDS: '600' });
  for (const each of [partA(), partB()]) await engine.ingestor.ingest(each);
  await until(() => gates.length === 1);
  const gravedigger = await workerOn(db, [definition]);
  await db.query(
    `update muster.worker set lease_until = now() - interval '1 second' where host <> 'test'`,
  );
  expect(await gravedigger.runs.reapExpired()).toBe(1);
  gates[0]!.resolve();
  await until(() => engine.lines.some(({ message }) => message.startsWith('another worker took')));
  expect(await db.query('select * from effect')).toEqual([]);
  expect(await runsOf(db)).toMatchObject([{ state: 'ready', token: '1' }]);
  await engine.stop();
});

test('a commit that waits for the run while another worker takes it over is refused', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  const stale = { lease: worker.leases[0]!, events: [] };
  const fresh = { lease: { ...stale.lease, token: 2, attempt: 2 }, events: [] };
  const release = await hold(db, 'update muster.run set token = 2, attempt = 2');
  const late = worker.runs.finish([stale]);
  await blocked(db);
  await release();
  expect(await late).toEqual(new Set());
  expect(await worker.runs.finish([fresh])).toEqual(new Set([fresh]));
});

test('a worker that lost its lease aborts its handlers, and continues under a new id', async ({
  db,
}) => {
  await db.query('create table effect (run text, attempt int)');
  const { gates, contexts, definition } = gated();
  const engine = await engineOn(db, [definition], { LEASE_SECONDS: '1' });
  for (const each of [partA(), partB()]) await engine.ingestor.ingest(each);
  await until(() => gates.length === 1);
  await db.query('delete from muster.worker');
  await until(() => contexts[0]!.signal.aborted);
  expect(contexts[0]!.signal.reason).toMatchObject({ name: 'LeaseLost' });
  await until(() => gates.length === 2);
  await expect(contexts[0]!.tx.query('select 1')).rejects.toThrow('has ended');
  gates[1]!.resolve();
  await until(async () => (await runsOf(db))[0]?.state === 'done');
  expect(await db.query('select * from effect')).toEqual([{ run: 'pair/x/1', attempt: 2 }]);
  await engine.stop();
});

test('a handler whose run alone was lost is aborted at the next renewal', async ({ db }) => {
  await db.query('create table effect (run text, attempt int)');
  const { gates, contexts, definition } = gated();
  const engine = await engineOn(db, [definition], { LEASE_SECONDS: '1' });
  for (const each of [partA(), partB()]) await engine.ingestor.ingest(each);
  await until(() => gates.length === 1);
  await db.query(
    `update muster.run set state = 'ready', worker = null, due_at = now() + interval '1 hour'`,
  );
  await until(() => contexts[0]!.signal.aborted);
  expect(contexts[0]!.signal.reason).toMatchObject({
    name: 'LeaseLost',
    message: 'the lease of this run was lost',
  });
  expect(await runsOf(db)).toMatchObject([{ state: 'ready', token: '1', attempt: 1 }]);
  await engine.stop();
});
