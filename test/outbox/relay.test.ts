import { expect } from 'vitest';
import type { Sink } from '../../src/outbox/sink.ts';
import { OutboxRelay } from '../../src/outbox/relay.ts';
import { claimOutbox, recordDeliveries } from '../../src/state/runs/outbox.ts';
import { blocked, hold } from '../support/blocked.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { workerOn, type TestWorker } from '../support/worker.ts';
import { sinkServer } from '../support/sink.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

const three = pairOf({
  handle: (set) => [0, 1, 2].map((n) => ({ type: 'pair.done', data: { set: set.keyText, n } })),
});

const complete = (engine: { ingestor: TestWorker['ingestor'] }, ...keys: string[]) =>
  Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => engine.ingestor.ingest(each)),
  );

const sent = async (db: TestDatabase) =>
  (
    await db.query<{ event_id: string }>(
      'select event_id from muster.outbox where sent_at is not null',
    )
  ).length;

/** Ids of one set's events, in the order of their requests. */
const ofSet = (ids: readonly string[], key: string) =>
  ids.filter((id) => id.startsWith(`pair/${key}/`));

/** In one test, the key of a set is the status of the response to its first event. */
const statusOf = (id: string) => Number(id.split('/')[1]);

const take = (worker: TestWorker) => claimOutbox(worker.database, [1], worker.id, 10, 60);

/** Ends every backoff. */
const hurry = (db: TestDatabase) =>
  db.query('update muster.outbox set due_at = now() where sent_at is null');

test('the events of a set are posted in order, and without failures each once', async ({ db }) => {
  const sink = await sinkServer();
  const engine = await engineOn(db, [three], { K_SINK: sink.url });
  await complete(engine, 'x', 'y');
  await until(async () => (await sent(db)) === 6);
  expect(sink.ids.length).toBe(6);
  expect(ofSet(sink.ids, 'x')).toEqual(['pair/x/1/0', 'pair/x/1/1', 'pair/x/1/2']);
  expect(ofSet(sink.ids, 'y')).toEqual(['pair/y/1/0', 'pair/y/1/1', 'pair/y/1/2']);
  expect(sink.bodies.map((body) => JSON.parse(body) as unknown)).toContainEqual({ set: 'y', n: 2 });
  await engine.stop();
});

test('an event that is not accepted delays only the later ones of its set', async ({ db }) => {
  const sink = await sinkServer();
  let down = true;
  sink.answer = (id) => (down && id === 'pair/x/1/1' ? 503 : 202);
  const engine = await engineOn(db, [three], { K_SINK: sink.url });
  await complete(engine, 'x', 'y');
  await until(async () => (await sent(db)) === 4);
  expect(
    await db.query(
      `select attempts, error, sent_at, due_at > now() as later from muster.outbox where event_id = 'pair/x/1/1'`,
    ),
  ).toEqual([{ attempts: 1, error: `${sink.url} answered 503`, sent_at: null, later: true }]);
  expect(ofSet(sink.ids, 'x')).toEqual(['pair/x/1/0', 'pair/x/1/1']);
  down = false;
  await hurry(db);
  await until(async () => (await sent(db)) === 6);
  expect(ofSet(sink.ids, 'x')).toEqual(['pair/x/1/0', 'pair/x/1/1', 'pair/x/1/1', 'pair/x/1/2']);
  await engine.stop();
});

test('an event that is refused permanently counts as failed, and the next ones are sent', async ({
  db,
}) => {
  const sink = await sinkServer();
  sink.answer = (id) => (id.endsWith('/0') ? 400 : 202);
  const engine = await engineOn(db, [three], { K_SINK: sink.url });
  await complete(engine, 'x');
  await until(async () => (await sent(db)) === 2);
  expect(
    await db.query(
      'select event_id, failed_at is not null as failed, error from muster.outbox order by id',
    ),
  ).toEqual([
    { event_id: 'pair/x/1/0', failed: true, error: `${sink.url} answered 400` },
    { event_id: 'pair/x/1/1', failed: false, error: null },
    { event_id: 'pair/x/1/2', failed: false, error: null },
  ]);
  expect(engine.lines).toContainEqual(
    expect.objectContaining({
      level: 'error',
      event: 'pair/x/1/0',
      message: 'the sink refused an event permanently',
    }),
  );
  expect(ofSet(sink.ids, 'x')).toEqual(['pair/x/1/0', 'pair/x/1/1', 'pair/x/1/2']);
  await engine.stop();
});

test('transient and fixable errors are retried, a response about the event itself is final', async ({
  db,
}) => {
  const sink = await sinkServer();
  const again = [404, 408, 409, 429, 500, 502, 503, 504];
  const fixable = [301, 302, 307, 308, 401, 402, 403, 405, 423, 425];
  const final = [400, 410, 413, 415, 422];
  sink.answer = (id) => (sink.ids.filter((each) => each === id).length === 1 ? statusOf(id) : 202);
  const one = pairOf({ handle: () => [{ type: 't' }] });
  const engine = await engineOn(db, [one], { K_SINK: sink.url });
  await complete(engine, ...[...again, ...fixable, ...final].map(String));
  await until(async () => {
    const rows = await db.query('select from muster.outbox where error is not null');
    return rows.length === again.length + fixable.length + final.length;
  });
  const count = async (outcome: string) => {
    const { values } = await engine.metrics.outbox.get();
    return values.find(({ labels }) => labels.outcome === outcome)?.value;
  };
  expect([await count('again'), await count('blocked'), await count('failed')]).toEqual([
    again.length,
    fixable.length,
    final.length,
  ]);
  const alarms = engine.lines.filter(({ message }) => message.includes('until an operator'));
  expect(new Set(alarms.map(({ error }) => Number(String(error).split(' ').at(-1))))).toEqual(
    new Set(fixable),
  );
  await hurry(db);
  await until(async () => (await sent(db)) === again.length + fixable.length);
  const posts = Map.groupBy(sink.ids, statusOf);
  const passing = [...again, ...fixable];
  expect(passing.map((status) => posts.get(status)!.length)).toEqual(passing.map(() => 2));
  expect(final.map((status) => posts.get(status)!.length)).toEqual(final.map(() => 1));
  expect(
    await db.query(
      'select key::int as status from muster.outbox where failed_at is not null order by 1',
    ),
  ).toEqual(final.map((status) => ({ status })));
  await engine.stop();
});

test('a sink that is down delays events and loses none', async ({ db }) => {
  const gone = 'http://127.0.0.1:1/';
  const first = await engineOn(db, [three], { K_SINK: gone });
  await complete(first, 'x');
  await until(
    async () => (await db.query('select from muster.outbox where error is not null')).length > 0,
  );
  expect(
    await db.query(
      'select count(*)::int as n, bool_or(failed_at is not null) as failed from muster.outbox',
    ),
  ).toEqual([{ n: 3, failed: false }]);
  await first.stop();
  const sink = await sinkServer();
  const second = await engineOn(db, [three], { K_SINK: sink.url });
  await hurry(db);
  await until(async () => (await sent(db)) === 3);
  expect(sink.ids).toEqual(['pair/x/1/0', 'pair/x/1/1', 'pair/x/1/2']);
  await second.stop();
});

test('two workers that claim at the same moment claim each event once, and only the oldest one of a set', async ({
  db,
}) => {
  const one = await workerOn(db, [pairOf()], { slots: 2 });
  const two = await workerOn(db, [pairOf()]);
  await complete(one, 'x', 'y');
  await one.runs.finish(
    one.leases.map((lease) => ({
      lease,
      events: [0, 1].map((n) => ({
        eventId: `${lease.key}${n}`,
        type: 't',
        subject: 's',
        data: null,
      })),
    })),
  );
  const release = await hold(db, `select from muster.outbox where event_id = 'x0' for update`);
  // the locked event is skipped, and its successor waits for it
  expect((await take(one)).map(({ eventId }) => eventId)).toEqual(['y0']);
  expect(await take(two)).toEqual([]);
  await release();
  const taken = await take(two);
  expect(taken.map(({ eventId, attempts }) => [eventId, attempts])).toEqual([['x0', 1]]);
  await recordDeliveries(two.database, [{ id: taken[0]!.id, kind: 'sent' }]);
  expect((await take(one)).map(({ eventId }) => eventId)).toEqual(['x1']);
  // the worker that claimed y0 died: the claim expires
  await db.query(`update muster.outbox set due_at = due_at - interval '61 seconds'`);
  expect((await take(two)).map(({ eventId, attempts }) => [eventId, attempts])).toEqual([
    ['x1', 2],
    ['y0', 2],
  ]);
});

test('the events of a dead worker are sent by another one as soon as it is reaped', async ({
  db,
}) => {
  const one = await workerOn(db, [pairOf()], { slots: 2 });
  const two = await workerOn(db, [pairOf()]);
  await complete(one, 'x', 'y');
  await one.runs.finish(
    one.leases.map((lease) => ({
      lease,
      events: [{ eventId: lease.key, type: 't', subject: 's', data: null }],
    })),
  );
  const [first] = await claimOutbox(one.database, [1], one.id, 1, 60);
  expect(first!.eventId).toBe('x');
  expect((await take(two)).map(({ eventId }) => eventId)).toEqual(['y']);
  await two.runs.reapExpired();
  expect(await take(two)).toEqual([]); // both are alive

  await db.query(`update muster.worker set lease_until = now() where id = $1`, [one.id]);
  await two.runs.reapExpired();
  expect((await take(two)).map(({ eventId, attempts }) => [eventId, attempts])).toEqual([['x', 2]]);
  // an outcome that it reports late still counts
  await recordDeliveries(one.database, [{ id: first!.id, kind: 'sent' }]);
  await db.query('delete from muster.worker');
  await one.runs.reapExpired();
  expect((await take(one)).map(({ eventId }) => eventId)).toEqual(['y']);
  expect(await db.query('select event_id from muster.outbox where sent_at is null')).toEqual([
    { event_id: 'y' },
  ]);
});

/** A relay that sends only when the test calls it, by `send`. */
function relayOn(worker: TestWorker, send: Sink['send'], slowMs = 60_000) {
  const delivered: string[] = [];
  const relay = new OutboxRelay({
    database: worker.database,
    served: worker.served,
    worker: () => worker.id,
    onDelivery: ({ kind }, { eventId }) => void delivered.push(`${eventId} ${kind}`),
    onProgress() {},
    slowMs,
    sink: { name: 'test', send, async close() {} },
  });
  return { relay, delivered };
}

/** Fills the outbox with an event per set, due in the order given. */
const outgoing = (db: TestDatabase, keys: readonly string[], type = 't') =>
  db.query(
    `insert into muster.outbox (function, key, event_id, type, subject)
     select 1, key, key, $2, 's' from unnest($1::text[]) with ordinality as t (key, nth) order by nth`,
    [keys, type],
  );

const never = () => new Promise<never>(() => {});
/** In one test, the events of every tenth set are never answered. */
const hanging = (id: string) => /^pair\/\d*0\//.test(id);
const keysOf = (name: string, n: number) => Array.from({ length: n }, (_, i) => `${name}${i}`);

test('an event whose outcome the database could not record is not sent again', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await outgoing(db, ['x0']);
  const sends: string[] = [];
  const { relay, delivered } = relayOn(worker, async ({ id }) => {
    sends.push(id);
    return { kind: 'sent' };
  });
  expect(await relay.publish()).toBe(false);
  await until(() => delivered.length === 1);
  const release = await hold(db, 'select from muster.outbox for update');
  const cut = relay.publish().catch(String);
  await blocked(db);
  await db.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  expect(await cut).toContain('terminating connection');
  await release();
  expect(await relay.publish()).toBe(false);
  expect([sends, await sent(db)]).toEqual([['x0'], 1]);
});

test('a process sends an event once, even if the claim expires while it is in flight', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await outgoing(db, ['x']);
  const sends: string[] = [];
  const { relay } = relayOn(worker, ({ id }) => {
    sends.push(id);
    return never();
  });
  await relay.publish();
  await hurry(db);
  await relay.publish();
  expect(sends).toEqual(['x']);
});

test('events that hang do not delay others, and events of a set stay in order', async ({ db }) => {
  const sink = await sinkServer();
  sink.answer = (id) => (hanging(id) ? null : 202);
  const engine = await engineOn(db, [three], { K_SINK: sink.url });
  // a tenth of 1,000 sets hangs, which is more than the window holds
  const keys = Array.from({ length: 1000 }, (_, i) => String(i));
  await complete(engine, ...keys);
  // well before the first of them times out
  await until(async () => (await sent(db)) === 2700, 20_000);
  for (const key of keys) {
    const mine = [0, 1, 2].map((n) => `pair/${key}/1/${n}`);
    expect(ofSet(sink.ids, key)).toEqual(hanging(mine[0]!) ? mine.slice(0, 1) : mine);
  }
  await engine.stop();
}, 30_000);

test('a type whose events all hang does not delay other types', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await outgoing(db, keysOf('hangs', 1500), 'hangs');
  await outgoing(db, keysOf('goes', 100), 'goes');
  const started = { hangs: 0, goes: 0 };
  const send = async ({ type }: { type: string }) => {
    started[type as 'hangs' | 'goes']++;
    return type === 'hangs' ? never() : ({ kind: 'sent' } as const);
  };
  const { relay, delivered } = relayOn(worker, send, 1);
  await until(async () => {
    await relay.publish();
    return delivered.filter((each) => each.endsWith(' sent')).length === 100;
  });
  await relay.publish();
  expect(started.goes).toBe(100);
  // includes those that were in the window when the last slow one was counted
  expect(started.hangs).toBeGreaterThanOrEqual(256);
  expect(started.hangs).toBeLessThanOrEqual(256 + 64);
  // the others were not attempted: they wait without an error, and are counted
  const rest = 1500 - started.hangs;
  expect(
    await db.query(
      `select count(*)::int as n, min(attempts) as attempts, max(error) as error from muster.outbox
       where type = 'hangs' and worker is null and due_at between now() + interval '10 s' and now() + interval '45 s'`,
    ),
  ).toEqual([{ n: rest, attempts: 0, error: null }]);
  expect(delivered.filter((each) => each.endsWith(' postponed'))).toHaveLength(rest);
});

test('the number of events in flight is limited, however many types hang', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  for (const n of [1, 2, 3, 4, 5, 6]) await outgoing(db, keysOf(`hangs${n}-`, 250), `hangs${n}`);
  let started = 0;
  const send = () => {
    started++;
    return never();
  };
  const { relay } = relayOn(worker, send, 1);
  await until(async () => {
    await relay.publish();
    return started >= 1024;
  });
  for (let turn = 0; turn < 20; turn++) {
    await db.query('select'); // a round trip, during which the events in the window become slow
    await relay.publish();
  }
  expect(started).toBe(1024);
});

test('a stop does not wait for a sink that ignores its signal', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await outgoing(db, ['x']);
  const { relay } = relayOn(worker, never);
  await relay.publish();
  await relay.drain(0);
  expect(await db.query('select attempts, sent_at from muster.outbox')).toEqual([
    { attempts: 1, sent_at: null },
  ]);
});

test('no more events than the window holds are claimed while the sink may still answer quickly', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await outgoing(db, keysOf('k', 200));
  const { relay } = relayOn(worker, never);
  await relay.publish();
  await relay.publish();
  expect(await db.query('select from muster.outbox where worker is not null')).toHaveLength(64);
});

test('nothing is claimed while too much data is in flight', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await outgoing(db, keysOf('k', 200));
  await db.query(`update muster.outbox set data = to_json(repeat('x', 600000)) where id <= 64`);
  const answers: (() => void)[] = [];
  const { relay, delivered } = relayOn(
    worker,
    () => new Promise((resolve) => answers.push(() => resolve({ kind: 'sent' }))),
  );
  await relay.publish();
  expect(answers).toHaveLength(64);
  for (const answer of answers.splice(0, 5)) answer();
  await until(() => delivered.length === 5);
  await relay.publish();
  expect(answers).toHaveLength(59);
  for (const answer of answers.splice(0, 10)) answer();
  await until(() => delivered.length === 15);
  await relay.publish();
  expect(answers).toHaveLength(49 + 15);
});

test('a process that stops abandons events that hang, and records the responses it has received', async ({
  db,
}) => {
  const sink = await sinkServer();
  sink.answer = (id) => (id === 'pair/x/1/0' ? null : 202);
  const engine = await engineOn(db, [three], { K_SINK: sink.url });
  await complete(engine, 'x', 'y');
  await until(() => sink.ids.length === 4);
  await engine.stop();
  expect(
    await db.query(
      `select event_id, error, worker from muster.outbox where sent_at is null and attempts > 0`,
    ),
  ).toEqual([{ event_id: 'pair/x/1/0', error: `${sink.url}: the process stops`, worker: null }]);
  expect(await sent(db)).toBe(3);
});

test('events behind one that is not accepted are looked at once, and claimed when it has been sent', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await db.query(
    `insert into muster.outbox (function, key, event_id, type, subject, due_at)
     select 1, 'set' || i, i || '/' || n, 't', 's', now() + case when n = 0 then interval '1 minute' else '0' end
     from generate_series(1, 1000) i, generate_series(0, 2) n order by n, i`,
  );
  const due = () =>
    db.query(
      'select event_id from muster.outbox where due_at <= now() and sent_at is null and failed_at is null order by id',
    );
  expect((await due()).length).toBe(2000);
  expect(await take(worker)).toEqual([]);
  expect(await due()).toEqual([]);
  await recordDeliveries(worker.database, [
    { id: '1', kind: 'sent' },
    { id: '2', kind: 'failed', error: 'no' },
    { id: '3', kind: 'again', error: 'later', waitMs: 60_000 },
  ]);
  expect(await due()).toEqual([{ event_id: '1/1' }, { event_id: '2/1' }]);
  expect((await take(worker)).map(({ eventId }) => eventId)).toEqual(['1/1', '2/1']);
});

test('a sent event stays sent, even if a slower worker records another outcome', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  await complete(worker, 'x');
  const event = { eventId: 'x0', type: 't', subject: 's', data: null };
  await worker.runs.finish([{ lease: worker.leases[0]!, events: [event] }]);
  const [taken] = await take(worker);
  const { id } = taken!;
  const release = await hold(db, 'select from muster.outbox for update');
  const right = recordDeliveries(worker.database, [{ id, kind: 'sent' }]);
  await blocked(db, 1);
  const wrong = recordDeliveries(worker.database, [{ id, kind: 'failed', error: 'no' }]);
  await blocked(db, 2);
  await release();
  await Promise.all([right, wrong]);
  expect(
    await db.query('select sent_at is not null as sent, failed_at, error from muster.outbox'),
  ).toEqual([{ sent: true, failed_at: null, error: null }]);
});

test('the events of many runs that end together keep their order in each set', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 100 });
  const keys = Array.from({ length: 100 }, (_, i) => `k${i}`);
  await complete(worker, ...keys);
  await worker.runs.finish(
    worker.leases.toReversed().map((lease) => ({
      lease,
      events: [0, 1, 2, 3].map((n) => ({
        eventId: `${lease.key}/${n}`,
        type: 't',
        subject: 's',
        data: null,
      })),
    })),
  );
  const rows = await db.query<{ ids: string[] }>(
    'select array_agg(event_id order by id) as ids from muster.outbox group by key',
  );
  expect(rows.length).toBe(100);
  for (const { ids } of rows) expect(ids).toEqual(ids.toSorted((a, b) => a.localeCompare(b)));
});
