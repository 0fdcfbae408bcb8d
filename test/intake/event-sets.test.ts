/** The life of sets whose parts are events, from their deadline to their purge, through the commands of an operator. */
import { expect, onTestFinished } from 'vitest';
import { defineFunction, TerminalError, type FunctionDefinition } from '../../src/function.ts';
import { purge } from '../../src/state/purge.ts';
import { muster } from '../cli/command.ts';
import { serverOn } from '../support/engine.ts';
import { event, record } from '../support/events.ts';
import { sinkServer } from '../support/sink.ts';
import { runsOf, setsOf } from '../support/state.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { workerOn, type TestWorker } from '../support/worker.ts';

const DAY = 86_400;

function ordersOf(more: Partial<FunctionDefinition> = {}): FunctionDefinition {
  const orders = defineFunction({
    name: 'orders',
    parts: {
      paid: { event: 'com.shop.paid', key: 'data.order', columns: ['data.amount'] },
      sent: { event: 'com.shop.sent', key: 'subject', where: { 'data.country': 'NO' } },
    },
    handle() {},
  });
  return { ...(orders as FunctionDefinition), ...more };
}

async function served(
  db: TestDatabase,
  orders: FunctionDefinition,
  settings: Record<string, string> = {},
) {
  const server = await serverOn(db, [orders], settings);
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= server.stop());
  onTestFinished(stop);
  const post = async (id: string, type: string, data: object, subject?: string) => {
    const { status } = await fetch(server.url, {
      method: 'POST',
      headers: {
        'ce-specversion': '1.0',
        'ce-id': id,
        'ce-source': '/shop',
        'ce-type': `com.shop.${type}`,
        'content-type': 'application/json',
        ...(subject !== undefined && { 'ce-subject': subject }),
      },
      body: JSON.stringify(data),
    });
    return status;
  };
  return {
    ...server,
    stop,
    paid: (id: string, order: unknown) => post(id, 'paid', { order, amount: 3 }),
    sent: (id: string, order: string, country = 'NO') => post(id, 'sent', { country }, order),
  };
}

type Again = (db: TestDatabase, server: Awaited<ReturnType<typeof served>>) => Promise<unknown>;
const membersOf = (db: TestDatabase) =>
  db.query('select id, in_set from muster.member order by id');
const command = async (db: TestDatabase, ...args: string[]) =>
  (await muster({ DATABASE_URL: db.url }, args)).stdout;
const stateIs = (db: TestDatabase, state: string) =>
  until(async () => (await runsOf(db))[0]?.['state'] === state);

test('a deadline reports the event that is missing, and the set runs once it arrives', async ({
  db,
}) => {
  const sink = await sinkServer();
  const orders = ordersOf({ overdueAfter: '1 second' });
  const server = await served(db, orders, { K_SINK: sink.url });
  await server.paid('1', 4711);
  await server.sent('2', '4711', 'SE');
  await until(() => sink.events.length === 1);
  expect(sink.events[0]).toMatchObject({
    type: 'muster.set.overdue',
    subject: '4711',
    data: { function: 'orders', key: '4711', missing: [{ part: 'sent', have: 0, need: 1 }] },
  });
  expect(await command(db, 'sets', '--overdue')).toMatch(
    /^orders\t4711\toverdue\tsince \S+\tmissing: sent\n$/,
  );
  const lines = (await command(db, 'explain', 'orders', '4711')).split('\n');
  expect(lines).toEqual([
    'orders 4711: waiting',
    '  paid (event com.shop.paid): present',
    expect.stringMatching(/^ {4}event \["\/shop","1"\] of \d{4}-\S+Z, since \d{4}-\S+$/),
    '  sent (event com.shop.sent): missing',
    expect.stringMatching(
      /^ {4}event \["\/shop","2"\] of \S+Z refused: data\.country is "SE", not "NO"$/,
    ),
    expect.stringMatching(/^ {2}deadline \S+, reported as overdue$/),
    expect.stringMatching(/^ {2}event muster\.set\.overdue \S+: sent \S+$/),
    '',
  ]);
  await server.sent('3', '4711');
  await stateIs(db, 'done');
  expect(await command(db, 'sets', '--overdue')).toBe('');
  expect(sink.ids).toHaveLength(1);
});

test.for([
  ['muster retry', (db) => command(db, 'retry', 'orders', '4711')],
  ['another event of the set', (_db, server) => server.sent('3', '4711')],
] as const satisfies readonly [string, Again][])(
  'a run that fails for good is reported and explained, and starts again with %s',
  async ([, again], { db }) => {
    const sink = await sinkServer();
    let isBroken = true;
    const amounts: unknown[] = [];
    const orders = ordersOf({
      handle({ parts }) {
        if (isBroken) throw new TerminalError('the warehouse knows no such order');
        amounts.push(parts['paid']!.map(({ row }) => row['data.amount']));
        return [{ type: 'order.ready' }];
      },
    });
    const server = await served(db, orders, { K_SINK: sink.url });
    await server.paid('1', 4711);
    await server.sent('2', '4711');
    await until(() => sink.events.length === 1);
    expect(sink.events[0]).toMatchObject({
      type: 'muster.set.failed',
      subject: '4711',
      data: { function: 'orders', key: '4711' },
    });
    expect(await command(db, 'sets', '--failed')).toMatch(
      /^orders\t4711\tfailed\tsince \S+\t.*the warehouse knows no such order/,
    );
    const explained = await command(db, 'explain', 'orders', '4711');
    expect(explained).toContain('orders 4711: failed\n');
    expect(explained).toContain('    event ["/shop","1"] of ');
    expect(explained).toContain('the warehouse knows no such order');
    // the same event again changes nothing
    await server.paid('1', 4711);
    expect(await runsOf(db)).toMatchObject([{ state: 'failed', attempt: 1 }]);

    isBroken = false;
    await again(db, server);
    await stateIs(db, 'done');
    await until(() => sink.events.length === 2);
    expect(sink.events[1]).toMatchObject({ type: 'order.ready', subject: '4711' });
    expect(amounts).toEqual([[3]]);
  },
);

/** Posts an event whose key is an extension, and not in its data. */
const postOther = (url: string) =>
  fetch(url, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-id': '1',
      'ce-source': '/shop',
      'ce-type': 'com.shop.paid',
      'ce-orderid': '4711',
      'content-type': 'application/json',
    },
    body: '{"amount": 3}',
  });

test('an event that is parked is redelivered once the function reads it', async ({ db }) => {
  const first = await served(db, ordersOf());
  expect(await first.sent('2', '4711')).toBe(204);
  const { paid } = ordersOf().parts;
  for (let i = 0; i < 2; i++) expect((await postOther(first.url)).status).toBe(202);
  expect(await command(db, 'parked')).toMatch(
    /^1\t\S+\tbad-event \(2 times\)\t\/shop 1\tdata\.order is not in the event com\.shop\.paid; part paid of orders names it\n$/,
  );
  const early = await muster({ DATABASE_URL: db.url }, ['redeliver', '--to', first.url]);
  expect(early).toMatchObject({ code: 1 });
  expect(early.stdout).toContain('0 redelivered, 1 left');
  await first.stop();

  // its key is an extension
  const fixed = ordersOf({ parts: { ...ordersOf().parts, paid: { ...paid!, key: 'orderid' } } });
  const second = await served(db, fixed);
  expect(await command(db, 'redeliver', '--to', second.url)).toBe('1 redelivered, 0 left\n');
  await stateIs(db, 'done');
  expect(await command(db, 'parked')).toBe('');
  // the sender repeats it, too
  expect((await postOther(second.url)).status).toBe(204);
  expect(await runsOf(db)).toMatchObject([{ key: '4711', state: 'done', late: 0 }]);
  expect(await command(db, 'explain', 'orders', '4711')).toContain('    event ["/shop","1"] of ');
});

/** Worker whose set `x` has run, and is old enough to be purged. */
async function doneWith(db: TestDatabase, orders: FunctionDefinition, versionDays: number) {
  const worker = await workerOn(db, [orders], { slots: 1 });
  for (const each of EVENTS) await worker.ingestor.ingest(each);
  const finish = () =>
    worker.runs.finish(worker.leases.splice(0).map((lease) => ({ lease, events: [] })));
  await finish();
  await db.query(`update muster.run set finished_at = finished_at - interval '40 days'`);
  await age(db, versionDays);
  const purged = () => purgeOf(worker, orders);
  return { worker, finish, purged };
}

const EVENTS = [
  event('com.shop.paid', { order: 'x', amount: 3 }, { id: 'p1' }),
  event('com.shop.sent', { country: 'NO' }, { id: 's1', subject: 'x' }),
];

const age = (db: TestDatabase, days: number) =>
  db.query(
    `update muster.member set since = since - $1 * interval '1 day', at = at - $1 * 86400000::bigint,
            gone_on = case when not in_set then (since - $1 * interval '1 day')::date end`,
    [days],
  );
const purgeOf = (worker: TestWorker, orders: FunctionDefinition) =>
  purge(worker.database, [{ definition: orders, served: worker.served[0]! }], {
    tombstoneSeconds: 30 * DAY,
  });

test('a late duplicate of an event of a purged set changes nothing, and runs nothing', async ({
  db,
}) => {
  const { worker, purged } = await doneWith(db, ordersOf(), 0);
  expect(await purged()).toEqual({ sets: 1, members: 2 });
  // what is left of them tells duplicates from new events, for TOMBSTONE_DAYS
  expect(await membersOf(db)).toEqual([
    { id: '["/shop","p1"]', in_set: false },
    { id: '["/shop","s1"]', in_set: false },
  ]);
  for (const each of EVENTS) await worker.ingestor.ingest(each);
  expect(await setsOf(db)).toEqual([]);
  await age(db, 31);
  await purged();
  expect(await membersOf(db)).toEqual([]);
  // from then on they are new events of a set that is done
  for (const each of EVENTS) await worker.ingestor.ingest(each);
  expect(worker.leases).toEqual([]);
  expect(await runsOf(db)).toMatchObject([{ key: 'x', state: 'done', revision: 1 }]);
  expect(await command(db, 'explain', 'orders', 'x')).toContain('orders x: done\n');
  await age(db, 31);
  expect(await purged()).toEqual({ sets: 1, members: 2 });
  expect(await membersOf(db)).toEqual([]);
});

test('after forgetAfter, the events of a set are those of a new one', async ({ db }) => {
  const orders = ordersOf({ forgetAfter: '35 days' });
  const { worker, purged } = await doneWith(db, orders, 31);
  await purged();
  expect(await runsOf(db)).toEqual([]);
  for (const each of EVENTS) await worker.ingestor.ingest(each);
  expect(worker.leases).toMatchObject([{ revision: 2 }]);
});

test('a record of a purged set is told from a new one in the same way', async ({ db }) => {
  const labels = defineFunction({
    name: 'labels',
    parts: { label: { topic: 'labels', key: 'order' } },
    handle() {},
  }) as FunctionDefinition;
  const worker = await workerOn(db, [labels], { slots: 1 });
  await worker.ingestor.ingest(record('labels', 7, { order: 'x' }));
  await worker.runs.finish(worker.leases.splice(0).map((lease) => ({ lease, events: [] })));
  await db.query(`update muster.run set finished_at = finished_at - interval '40 days'`);
  await purgeOf(worker, labels);
  await worker.ingestor.ingest(record('labels', 7, { order: 'y' }));
  expect([worker.leases, await setsOf(db)]).toEqual([[], []]);
  await worker.ingestor.ingest(record('labels', 8, { order: 'y' }));
  expect(worker.leases).toHaveLength(1);
});
