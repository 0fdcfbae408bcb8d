import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { announce } from '../../src/state/registration/announce.ts';
import { specify } from '../../src/definitions/specification.ts';
import { databaseOn } from '../support/worker.ts';
import { deliver, envelope, post } from '../support/sender.ts';
import type { TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { definitions } from './functions.ts';
import { test } from './test.ts';

const RELIEVES = 'ready to relieve the workers of another release';
const NEXT = { RULE: 'any' };

const event = (n: number, k: string, kind: string) => envelope('c', n, { id: n, k, kind });
const generation = async (db: TestDatabase) => {
  const [row] = await db.query<{ generation: number }>(
    `select generation from muster.function where name = 'pair'`,
  );
  return row!.generation;
};
const isReady = (url: string) =>
  fetch(new URL('/health/readiness', url)).then(
    ({ ok }) => ok,
    () => false,
  );

test('a new release replaces the previous one without a moment in which no process is ready', async ({
  db,
  chaos,
}) => {
  const old = await chaos.launch().serving();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const gaps: number[] = [];
  const watching = new AbortController();
  const watch = (async () => {
    for (let n = 0; !watching.signal.aborted; n++) {
      const ready = await Promise.all([isReady(old.url), isReady(url)]);
      if (!ready.includes(true)) gaps.push(n);
      await sleep(5);
    }
  })();

  const next = chaos.launch({ ...NEXT, PORT: String(port) });
  await until(() => next.log.some(({ msg }) => msg === RELIEVES));
  expect(await isReady(url)).toBe(true);
  expect([await generation(db), await post(old.url, event(1, 'x', 'a'))]).toEqual([
    1,
    { status: 204, reason: null },
  ]);

  // An arriving event shows that senders know the new process: it waits until the new rule is registered.
  expect(await post(url, event(2, 'y', 'a'))).toEqual({ status: 204, reason: null });
  expect(await generation(db)).toBe(2);
  expect(await post(old.url, event(3, 'z', 'a'))).toEqual({ status: 503, reason: 'superseded' });
  await until(async () => !(await isReady(old.url)));
  await deliver(() => url, event(3, 'z', 'a'));
  watching.abort();
  await watch;
  expect(gaps).toEqual([]);
  await until(async () => (await chaos.traces('effect')).length === 3);
});

test('a new release that receives no event replaces the previous one after a few seconds', async ({
  db,
  chaos,
}) => {
  await chaos.launch().serving();
  await chaos.launch(NEXT).serving();
  expect(await generation(db)).toBe(2);
});

test("a new release that can't start leaves the previous one serving", async ({ db, chaos }) => {
  const old = await chaos.launch().serving();
  const broken = chaos.launch({ ...NEXT, PORT: new URL(old.url).port });
  expect((await broken.exited).code).not.toBe(0);
  expect(broken.stderr).toContain('EADDRINUSE');
  expect([await generation(db), await isReady(old.url)]).toEqual([1, true]);
  expect(await post(old.url, event(1, 'x', 'a'))).toEqual({ status: 204, reason: null });
});

test('a new release that is stopped before it takes over changes nothing', async ({
  db,
  chaos,
}) => {
  const old = await chaos.launch().serving();
  const next = chaos.launch(NEXT);
  await until(() => next.log.some(({ msg }) => msg === RELIEVES));
  next.kill('SIGTERM');
  expect(await next.exited).toEqual({ code: 0, signal: null });
  expect([await generation(db), await isReady(old.url)]).toEqual([1, true]);
});

test('a worker of a superseded release waits until its release is announced, then serves', async ({
  db,
  chaos,
}) => {
  const first = await chaos.launch().serving();
  first.kill('SIGTERM');
  await first.exited;
  const second = await chaos.launch(NEXT).serving();
  const back = chaos.launch();
  await until(() => back.log.some(({ msg }) => String(msg).startsWith('another release serves')));
  expect([await generation(db), await isReady(second.url)]).toEqual([2, true]);

  const database = databaseOn(db);
  expect(await announce(database, specify(definitions[0]!))).toBe(true);
  await database.close();
  await back.serving();
  expect(await generation(db)).toBe(3);
  expect(await post(second.url, event(1, 'x', 'a'))).toEqual({ status: 503, reason: 'superseded' });
});
