import { expect, onTestFinished } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { deliver, envelope, post } from '../support/sender.ts';
import { until } from '../support/until.ts';
import { begun, queued, doneAndSent, test } from './test.ts';

const part = (k: string, kind: string, lsn: number) =>
  envelope('c', lsn, { id: k + kind, k, kind });

test('at SIGTERM a process answers accepted events, refuses new ones, finishes its runs and exits with 0', async ({
  db,
  chaos,
}) => {
  const open = await chaos.hold('gated');
  const pod = await chaos.launch().serving();
  const url = () => pod.url;
  await deliver(url, part('gated', 'a', 1));
  await deliver(url, part('gated', 'b', 2));
  await begun(db, 1);

  const barrier = await db.pool.connect();
  await barrier.query('begin');
  await barrier.query('lock table muster.member in exclusive mode');
  const inFlight = post(pod.url, part('other', 'a', 3));
  await queued(db, 'muster.member');
  expect(await (await fetch(`${pod.url}/health/readiness`)).text()).toBe('ready');
  pod.kill('SIGTERM');
  await until(async () => (await fetch(`${pod.url}/health/readiness`)).status === 503);
  expect((await fetch(`${pod.url}/health/liveness`)).status).toBe(200);
  expect(await post(pod.url, part('late', 'a', 4))).toEqual({ status: 503, reason: 'draining' });
  await barrier.query('rollback');
  barrier.release();
  expect(await inFlight).toEqual({ status: 204, reason: null });
  await until(() =>
    pod.log.some(({ msg }) => String(msg).startsWith('waiting for running handlers')),
  );
  await open();

  expect(await pod.exited).toEqual({ code: 0, signal: null });
  expect(await db.query('select id from muster.member order by id')).toEqual([
    { id: 'gateda' },
    { id: 'gatedb' },
    { id: 'othera' },
  ]);
  expect(await db.query('select state, attempt from muster.run')).toEqual([
    { state: 'done', attempt: 1 },
  ]);
  expect(await db.query('select from muster.worker')).toEqual([]);
  expect(await chaos.traces('effect')).toHaveLength(1);
});

test('a handler that outlives the grace period at SIGTERM is released without counting its attempt', async ({
  db,
  chaos,
}) => {
  const open = await chaos.hold('gated');
  const pod = await chaos.launch({ DRAIN_SECONDS: '1', LEASE_SECONDS: '60' }).serving();
  const url = () => pod.url;
  await deliver(url, part('gated', 'a', 1));
  await deliver(url, part('gated', 'b', 2));
  await begun(db, 1);
  pod.kill('SIGTERM');
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  expect(await db.query('select state, attempt, error from muster.run')).toEqual([
    { state: 'ready', attempt: 0, error: null },
  ]);
  expect(await chaos.traces('effect')).toEqual([]);

  await open();
  const heir = await chaos.launch().serving();
  await doneAndSent(db, 1);
  expect(await chaos.traces('effect')).toEqual([
    { run: 'pair/gated/1', attempt: 1, pid: heir.pid },
  ]);
});

test('a process that receives SIGTERM while it starts stops', async ({ db, chaos }) => {
  const barrier = await db.pool.connect();
  await barrier.query('begin');
  await barrier.query('lock table muster.function in exclusive mode');
  const pod = chaos.launch();
  await queued(db, 'muster.function');
  pod.kill('SIGTERM');
  await barrier.query('rollback');
  barrier.release();
  expect(await pod.exited).toEqual({ code: 0, signal: null });
});

test('a sink that does not answer does not delay the stop, and its event becomes due again elsewhere', async ({
  db,
  chaos,
}) => {
  chaos.sink.answer = () => null;
  const pod = await chaos.launch({ DRAIN_SECONDS: '1' }).serving();
  await deliver(() => pod.url, part('x', 'a', 1));
  await deliver(() => pod.url, part('x', 'b', 2));
  await until(() => chaos.sink.ids.length === 1);
  pod.kill('SIGTERM');
  expect(await pod.exited).toEqual({ code: 0, signal: null });

  chaos.sink.answer = () => 202;
  await chaos.launch().serving();
  await doneAndSent(db, 1);
  expect(chaos.sink.ids).toEqual(['pair/x/1/0', 'pair/x/1/0']);
});

test('an unavailable database does not delay the stop', async ({ db, chaos }) => {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy.close());
  const open = await chaos.hold('gated');
  const pod = await chaos.launch({ DATABASE_URL: proxy.url, DRAIN_SECONDS: '1' }).serving();
  await deliver(() => pod.url, part('gated', 'a', 1));
  await deliver(() => pod.url, part('gated', 'b', 2));
  await begun(db, 1);
  await proxy.close();
  pod.kill('SIGTERM');
  expect(await pod.exited).toEqual({ code: 0, signal: null });

  await open();
  await chaos.launch().serving();
  await doneAndSent(db, 1);
  expect(await chaos.traces('effect')).toHaveLength(1);
});
