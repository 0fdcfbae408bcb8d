import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { defineFunction, type HandlerContext, type OutgoingEvent } from '../../src/function.ts';
import { serverOn, type TestEngine } from '../support/engine.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { deliver, envelope } from '../support/sender.ts';
import { test as base } from '../support/test.ts';
import { until } from '../support/until.ts';

interface Cut {
  readonly proxy: Proxy;
  /** Serves function `pair` through the proxy. */
  serve(
    handle: (context: HandlerContext) => Promise<void | OutgoingEvent[]>,
    settings?: Record<string, string>,
  ): Promise<TestEngine & { url: string }>;
}

const test = base.extend<{ cut: Cut }>({
  cut: async ({ db }, use) => {
    await db.query('create table effect (run text not null)');
    const proxy = await startProxy(db.url);
    const engines: TestEngine[] = [];
    await use({
      proxy,
      async serve(handle, settings = {}) {
        const pair = defineFunction({
          name: 'pair',
          parts: {
            a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
            b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
          },
          retry: { attempts: 1000, first: '10 milliseconds', max: '20 milliseconds' },
          handle: (_set, context) => handle(context),
        });
        const server = await serverOn({ ...db, url: proxy.url }, [pair], {
          LEASE_SECONDS: '1',
          ...settings,
        });
        engines.push(server);
        return server;
      },
    });
    const stopped = Promise.all(engines.map((engine) => engine.stop()));
    // an engine that has permanently lost a connection never stops
    await Promise.race([stopped, sleep(5_000, undefined, { ref: false })]);
    await proxy.close();
  },
});

const part = (kind: string, lsn: number) => envelope('c', lsn, { id: kind, k: 'x', kind });
const DONE = `select state, token, attempt from muster.run where state = 'done'`;

test('a connection lost between COMMIT and its answer causes a 503, and the leased run starts anyway', async ({
  db,
  cut,
}) => {
  let calls = 0;
  const { url } = await cut.serve(async ({ tx, runId }) => {
    calls++;
    await tx.query('insert into effect values ($1)', [runId]);
  });
  await deliver(() => url, part('a', 1));
  const lost = cut.proxy.loseAnswerTo('ingest-changes');
  const tries = await deliver(() => url, part('b', 2));
  await lost;
  expect(tries).toEqual([
    { status: 503, reason: 'database' },
    { status: 204, reason: null },
  ]);
  // under the first lease: started by the process that holds it, not freed and claimed again
  expect(await until(async () => (await db.query(DONE))[0])).toEqual({
    state: 'done',
    token: '1',
    attempt: 1,
  });
  expect(calls).toBe(1);
  expect(await db.query('select * from effect')).toEqual([{ run: 'pair/x/1' }]);
});

test('a handler whose COMMIT loses its answer counts as done and is not run again', async ({
  db,
  cut,
}) => {
  let calls = 0;
  const { url, metrics } = await cut.serve(async ({ tx, runId }) => {
    calls++;
    await tx.query('insert into effect values ($1)', [runId]);
  });
  const lost = cut.proxy.loseAnswerTo('commit');
  await deliver(() => url, part('a', 1));
  await deliver(() => url, part('b', 2));
  await lost;
  await until(async () => (await metrics.runs.get()).values.length > 0);
  expect((await metrics.runs.get()).values).toMatchObject([
    { labels: { outcome: 'done' }, value: 1 },
  ]);
  expect(calls).toBe(1);
  expect(await db.query('select * from effect')).toEqual([{ run: 'pair/x/1' }]);
});

test('a handler without writes whose done-mark loses its answer counts as done', async ({
  db,
  cut,
}) => {
  let calls = 0;
  const { url, metrics } = await cut.serve(async () => void calls++);
  const lost = cut.proxy.loseAnswerTo('finish-runs');
  await deliver(() => url, part('a', 1));
  await deliver(() => url, part('b', 2));
  await lost;
  await until(async () => (await metrics.runs.get()).values.length > 0);
  expect((await metrics.runs.get()).values).toMatchObject([
    { labels: { outcome: 'done' }, value: 1 },
  ]);
  expect(calls).toBe(1);
  expect(await db.query(DONE)).toEqual([{ state: 'done', token: '1', attempt: 1 }]);
});

test('a COMMIT that Postgres refuses rolls back the done-mark and the events', async ({
  db,
  cut,
}) => {
  await db.query(`
    create table refusal (n int);
    insert into refusal values (1);
    create function refuse() returns trigger language plpgsql as $$ begin
      if exists (select from refusal) then raise 'not now' using errcode = '40001'; end if;
      return null;
    end $$;
    create constraint trigger refuse after insert on effect deferrable initially deferred
      for each row execute function refuse();
  `);
  const { url, metrics } = await cut.serve(async ({ tx, runId }) => {
    await tx.query('insert into effect values ($1)', [runId]);
    return [{ type: 'set.handled' }];
  });
  await deliver(() => url, part('a', 1));
  await deliver(() => url, part('b', 2));
  const again = async () => (await metrics.runs.get()).values[0]?.labels.outcome === 'again';
  await until(again);
  expect(await db.query(`select from muster.run where state = 'done'`)).toEqual([]);
  expect(await db.query('select from muster.outbox')).toEqual([]);

  await db.query('delete from refusal');
  await until(async () => (await db.query(DONE)).length === 1);
  expect(await db.query('select * from effect')).toEqual([{ run: 'pair/x/1' }]);
  expect(await db.query('select event_id from muster.outbox')).toEqual([
    { event_id: 'pair/x/1/0' },
  ]);
});

test('a connection that is lost while a transaction begins does not leak a slot', async ({
  db,
  cut,
}) => {
  const { url } = await cut.serve(
    async ({ tx, runId }) => void (await tx.query('insert into effect values ($1)', [runId])),
    { CONCURRENCY: '1' },
  );
  const lost = cut.proxy.loseAnswerTo('begin');
  await deliver(() => url, part('a', 1));
  await deliver(() => url, part('b', 2));
  await lost;
  expect(await until(async () => (await db.query(DONE))[0])).toMatchObject({
    token: '2',
    attempt: 1, // the connection failed, not the handler
  });
});
