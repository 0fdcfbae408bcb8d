import { expect, onTestFinished } from 'vitest';
import { musterServe } from '../cli/command.ts';
import { headerSafe } from '../../src/runs/run-id.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { sinkServer } from '../support/sink.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

const one = pairOf({ handle: () => [{ type: 'pair.done' }] });
const sent = async (db: TestDatabase) =>
  (await db.query('select from muster.outbox where sent_at is not null')).length;
const due = async (db: TestDatabase) =>
  (await db.query<{ events: number }>('select events from muster.due'))[0]!.events;

test('without a sink events wait and keep no pod up, and are sent once there is one', async ({
  db,
}) => {
  const without = await engineOn(db, [one]);
  expect(without.sinkTrouble()).toContain('no sink is configured');
  expect(without.lines).toContainEqual({ level: 'warn', message: without.sinkTrouble() });
  expect((await without.metrics.sinkMissing.get()).values[0]!.value).toBe(1);
  for (const each of [partA(), partB()]) await without.ingestor.ingest(each);
  await until(async () => (await db.query('select from muster.outbox')).length === 1);
  await until(async () => (await due(db)) === 0);
  // a ping, which waits until nothing is due, is answered
  await without.untilIdle(10_000);
  await without.stop();
  const waiting = await db.query(
    'select sent_at, failed_at, attempts, error, due_at <= now() as due from muster.outbox',
  );
  expect(waiting).toEqual([
    { sent_at: null, failed_at: null, attempts: 0, error: null, due: true },
  ]);

  const sink = await sinkServer();
  const engine = await engineOn(db, [one], { K_SINK: sink.url });
  await until(async () => (await sent(db)) === 1);
  expect(sink.ids).toEqual(['pair/x/1/0']);
  expect(engine.sinkTrouble()).toBeNull();
  expect((await engine.metrics.sinkMissing.get()).values[0]!.value).toBe(0);
  expect(await db.query('select sink_missing_until from muster.function')).toEqual([
    { sink_missing_until: null },
  ]);
  await engine.stop();
});

test('a pod is woken again for events that waited without a sink', async ({ db }) => {
  const engine = await engineOn(db, [one]);
  for (const each of [partA(), partB()]) await engine.ingestor.ingest(each);
  await until(async () => (await db.query('select from muster.outbox')).length === 1);
  await until(async () => (await due(db)) === 0);
  await engine.stop();
  expect(
    await db.query(
      `select sink_missing_until between now() + interval '9 minutes' and now() + interval '10 minutes' as soon
       from muster.function`,
    ),
  ).toEqual([{ soon: true }]);
  await db.query('update muster.function set sink_missing_until = now()');
  expect(await due(db)).toBe(1);
});

test('a process without a sink serves, prints no events, and reports that the sink is missing', async ({
  db,
}) => {
  const pod = await musterServe({ DATABASE_URL: db.url, FUNCTIONS: 'recordings' });
  onTestFinished(() => pod.kill('SIGKILL'));
  const readiness = await fetch(`${pod.url}/health/readiness`);
  expect([readiness.status, await readiness.text()]).toEqual([
    200,
    'ready, but no sink is configured, so outgoing events wait in the outbox: set K_SINK (a SinkBinding does), SINK_TOPIC or SINK=stdout',
  ]);
  expect(await (await fetch(`${pod.url}/metrics`)).text()).toContain('\nmuster_sink_missing 1\n');
  await outgoing(db);
  pod.kill('SIGTERM');
  await pod.exited;
  expect(pod.stdout).toBe('');
  expect(await sent(db)).toBe(0);
});

test('events are printed if the sink is standard output', async ({ db }) => {
  const pod = await musterServe({ DATABASE_URL: db.url, FUNCTIONS: 'recordings', SINK: 'stdout' });
  onTestFinished(() => pod.kill('SIGKILL'));
  expect(await (await fetch(`${pod.url}/health/readiness`)).text()).toBe('ready');
  await outgoing(db);
  await until(async () => (await sent(db)) === 1);
  expect(JSON.parse(pod.stdout)).toMatchObject({
    id: 'recordings/x/1/0',
    type: 't',
    data: { n: 1 },
  });
});

test('a sink that refuses Muster is reported until it accepts an event', async ({ db }) => {
  const sink = await sinkServer();
  sink.answer = () => 401;
  const engine = await engineOn(db, [one], { K_SINK: sink.url });
  for (const each of [partA(), partB()]) await engine.ingestor.ingest(each);
  expect(await until(() => engine.sinkTrouble())).toContain('the sink refuses outgoing events');
  expect(
    await until(
      async () => (await db.query('select error from muster.outbox where error is not null'))[0],
    ),
  ).toEqual({ error: `${sink.url} answered 401` });
  expect(await db.query('select from muster.outbox where failed_at is not null')).toEqual([]);
  sink.answer = () => 202;
  await db.query('update muster.outbox set due_at = now()');
  await until(async () => (await sent(db)) === 1);
  expect(engine.sinkTrouble()).toBeNull();
  await engine.stop();
});

const KEYS = ['Łódź', '渋谷', 'O’Hare', 'two\nlines', '5 €', 'naïve 🚋', 'say "hi"', '100%', ''];

test.for(KEYS)(
  'what a set with the key %j sends arrives once, and a header holds its ids',
  async (k, { db }) => {
    const sink = await sinkServer();
    const runIds: string[] = [];
    const definition = pairOf({
      overdueAfter: '1 hour',
      retry: { attempts: 1 },
      handle(set, { runId }) {
        runIds.push(runId);
        if (set.keyText.startsWith('bad')) throw new Error('no stock');
        return [{ type: 'pair.done', data: { key: set.keyText } }];
      },
    });
    const engine = await engineOn(db, [definition], { K_SINK: sink.url });
    const late = `late${k}`;
    for (const each of [partA(k), partB(k), partA(`bad${k}`), partB(`bad${k}`), partA(late)]) {
      expect(await engine.ingestor.ingest(each)).toMatchObject({ kind: 'ingested' });
    }
    await db.query(
      `update muster.member set since = since - interval '1 day' where key_hash = muster.key_hash($1)`,
      [late],
    );
    await db.query(
      `update muster.deadline set due_at = now() where muster.key_hash($1) = any (keys)`,
      [late],
    );
    await until(async () => (await sent(db)) === 3);
    await engine.stop();
    const ofType = (type: string) => sink.events.filter((event) => event.type === type);
    const [done, failed, overdue] = ['pair.done', 'muster.set.failed', 'muster.set.overdue'].map(
      ofType,
    );
    expect(done).toMatchObject([{ id: `pair/${headerSafe(k)}/1/0`, data: { key: k } }]);
    expect(done![0]!.subject ?? '').toBe(k);
    expect(failed).toMatchObject([
      { id: `pair/${headerSafe(`bad${k}`)}/1/failed/1`, subject: `bad${k}` },
    ]);
    expect(overdue).toMatchObject([{ subject: late, data: { key: late } }]);
    expect(overdue![0]!.id.startsWith(`pair/${headerSafe(late)}/overdue/`)).toBe(true);
    for (const id of [...sink.ids, ...runIds]) {
      expect(new Headers({ 'idempotency-key': id }).get('idempotency-key')).toBe(id);
      expect(id).toMatch(/^[ -~]+$/);
    }
    expect(await db.query('select from muster.outbox where attempts <> 1')).toEqual([]);
  },
);

/** An event of `recordings`, as a handler returns it. */
const outgoing = (db: TestDatabase) =>
  db.query(
    `insert into muster.outbox (function, key, event_id, type, subject, data)
     select id, 'x', 'recordings/x/1/0', 't', 's', '{"n":1}' from muster.function where name = 'recordings'`,
  );
