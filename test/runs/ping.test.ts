/** Pings of a Knative PingSource, which alone wake a function that runs as a Knative Service. */
import { expect } from 'vitest';
import { defineFunction } from '../../src/function.ts';
import { change } from '../support/changes.ts';
import { engineOn, serverOn } from '../support/engine.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

const parts = { item: { table: 'public.item', key: 'k' } } as const;

/** The engine claims only once a minute, so anything that happens at once is caused by the ping. */
const ASLEEP = { CLAIM_SECONDS: '60' };

test('a ping is answered once the running handlers have ended', async ({ db }) => {
  const gate = Promise.withResolvers<void>();
  const server = await serverOn(db, [
    defineFunction({ name: 'one', parts, handle: () => gate.promise }),
  ]);
  await server.ingestor.ingest(change('c', 1, { id: 1, k: 'x' }));
  let answered = false;
  const pinged = ping(server.url).then((status) => {
    answered = true;
    return status;
  });
  await askedForDueWork(db);
  await askedForDueWork(db);
  expect(answered).toBe(false);
  expect(await ping(`${server.url}/elsewhere`)).toBe(404);
  gate.resolve();
  expect(await pinged).toBe(204);
  expect(await db.query('select state from muster.run')).toEqual([{ state: 'done' }]);
  await server.stop();
});

test('a ping starts work that became due while no process was up', async ({ db }) => {
  const late = defineFunction({
    name: 'late',
    parts: { item: parts.item, other: { table: 'public.other', key: 'k' } },
    overdueAfter: '1 hour',
    handle() {},
  });
  let attempts = 0;
  const retried = defineFunction({
    name: 'retried',
    parts,
    retry: { first: '1 hour' },
    handle() {
      attempts += 1;
      if (attempts === 1) throw new Error('once');
    },
  });
  const server = await serverOn(db, [late, retried], ASLEEP);
  await server.ingestor.ingest(change('c', 1, { id: 1, k: 'x' }));
  await until(
    async () =>
      (await db.query('select from muster.run where attempt = 1 and state = $1', ['ready'])).length,
  );
  expect(await ping(server.url)).toBe(204);
  expect(attempts).toBe(1);

  await db.query(`update muster.run set due_at = now()`);
  await db.query(`update muster.deadline set due_at = now()`);
  await db.query(`update muster.member set since = since - interval '2 hours'`);
  expect(await ping(server.url)).toBe(204);
  expect(attempts).toBe(2);
  expect(
    await db.query('select key from muster.overdue join muster.sets using (function, key_hash)'),
  ).toEqual([{ key: 'x' }]);
  await server.stop();
});

test('a ping that a part names is an event like any other', async ({ db }) => {
  const nightly = { event: 'dev.knative.sources.ping', key: 'subject' } as const;
  const server = await serverOn(db, [
    defineFunction({ name: 'one', parts: { nightly }, handle() {} }),
  ]);
  expect(await ping(server.url, { 'ce-subject': 'tonight' })).toBe(204);
  expect(await db.query('select key from muster.sets')).toEqual([{ key: 'tonight' }]);
  await server.stop();
});

test('runs of a paused function do not delay a ping', async ({ db }) => {
  const one = defineFunction({ name: 'one', parts, handle() {} });
  const server = await serverOn(db, [one], ASLEEP);
  await db.query('update muster.function set paused = true');
  await server.ingestor.ingest(change('c', 1, { id: 1, k: 'x' }));
  await until(async () => (await db.query('select from muster.run')).length === 1);
  await db.query(`update muster.run set state = 'ready', worker = null`);
  expect(await ping(server.url)).toBe(204);
  await server.stop();
});

test('a long-running handler does not delay a ping forever', async ({ db }) => {
  const gate = Promise.withResolvers<void>();
  const engine = await engineOn(db, [
    defineFunction({ name: 'one', parts, handle: () => gate.promise }),
  ]);
  await engine.ingestor.ingest(change('c', 1, { id: 1, k: 'x' }));
  await engine.untilIdle(1);
  expect(await db.query('select state from muster.run')).toEqual([{ state: 'running' }]);
  gate.resolve();
  await engine.stop();
});

test('a process that stops answers that the ping must be retried', async ({ db }) => {
  const gate = Promise.withResolvers<void>();
  const server = await serverOn(db, [
    defineFunction({ name: 'one', parts, handle: () => gate.promise }),
  ]);
  await server.ingestor.ingest(change('c', 1, { id: 1, k: 'x' }));
  const pinged = ping(server.url);
  await askedForDueWork(db);
  const stopped = server.stop();
  expect(await pinged).toBe(503);
  gate.resolve();
  await stopped;
});

/** Sends a ping as Knative's adapter does; returns the status of the answer. */
async function ping(url: string, headers: Record<string, string> = {}): Promise<number> {
  const { status } = await fetch(url, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-id': '18f1a3b2',
      'ce-source': '/apis/v1/namespaces/muster/pingsources/recordings',
      'ce-type': 'dev.knative.sources.ping',
      'ce-time': '2026-11-21T08:00:00Z',
      ...headers,
    },
  });
  return status;
}

/** Waits until due work is counted once more. */
async function askedForDueWork(db: TestDatabase): Promise<void> {
  const asked = async () => {
    const rows = await db.query<{ at: string }>(
      `select query_start::text as at from pg_stat_activity
       where datname = current_database() and query like '%from muster.due%' and pid <> pg_backend_pid()`,
    );
    return (
      rows
        .map(({ at }) => at)
        .toSorted()
        .at(-1) ?? ''
    );
  };
  const before = await asked();
  await until(async () => (await asked()) > before);
}
