import { expect } from 'vitest';
import { defineFunction } from '../../../src/function.ts';
import type { EventChange } from '../../../src/state/change.ts';
import { explain } from '../../../src/state/queries/explain.ts';
import { queriesOf } from '../../../src/state/database/database.ts';
import { bumpEpoch } from '../../../src/state/ingest/epochs.ts';
import { forgetSource, replaceSource } from '../../../src/state/ingest/sources.ts';
import { change } from '../../support/changes.ts';
import { event, record } from '../../support/events.ts';
import { miscounted, setsOf } from '../../support/state.ts';
import { test, type TestDatabase } from '../../support/test.ts';
import { workerOn, type TestWorker } from '../../support/worker.ts';

const paid = defineFunction({
  name: 'paid',
  parts: {
    paid: {
      event: 'com.shop.paid',
      key: 'data.order.id',
      where: { 'data.country': 'NO', subject: 'shop' },
      columns: ['data.amount', 'data.note'],
    },
  },
  handle() {},
});

const ORDER = {
  event: 'com.shop.order',
  key: 'data.customer',
  id: 'data.id',
  version: 'data.revision',
  deletedBy: 'com.shop.cancelled',
} as const;

const orders = defineFunction({
  name: 'orders',
  parts: {
    order: { ...ORDER, where: { 'data.state': 'open' } },
    draft: { ...ORDER, where: { 'data.state': 'draft' } },
  },
  handle() {},
});

const mixed = defineFunction({
  name: 'mixed',
  parts: {
    row: { table: 'public.item', key: 'k' },
    event: { event: 'com.shop.sent', key: 'subject' },
    record: { topic: 'labels', key: 'orderId' },
  },
  handle() {},
});

const proto = defineFunction({
  name: 'proto',
  parts: { a: { event: 'com.shop.proto', key: 'data.toString' } },
  handle() {},
});

const order = (revision: unknown, more: object = {}) =>
  event('com.shop.order', { id: 7, customer: 'ann', state: 'open', revision, ...more });
const cancelled = (revision: unknown) => event('com.shop.cancelled', { id: 7, revision });
const SHOP = { subject: 'shop' };

async function ingestAll(worker: TestWorker, ...changes: readonly EventChange[]) {
  const kinds = [];
  for (const each of changes) kinds.push((await worker.ingestor.ingest(each)).kind);
  return kinds;
}

const keysOf = async (db: TestDatabase) =>
  (await setsOf(db, 1)).filter(({ counts }) => counts[0]! > 0).map(({ key }) => key);

test('an event joins the set of its key, once; the same event again changes nothing', async ({
  db,
}) => {
  const worker = await workerOn(db, [paid]);
  const same = { ...SHOP, id: '1' };
  const data = { order: { id: 4711 }, country: 'NO', amount: 3 };
  await ingestAll(
    worker,
    event('com.shop.paid', data, same),
    event('com.shop.paid', { ...data, order: { id: 4712 } }, same),
    event('com.shop.paid', data, { ...same, source: '/other' }),
  );
  expect(await setsOf(db, 1)).toEqual([{ key: '4711', counts: [2], fresh: 2 }]);
  expect(worker.ingested.map(({ ingested }) => ingested)).toEqual([1, 0, 1]);
  const members = await db.query('select id, columns from muster.member order by id');
  expect(members).toEqual([
    { id: '["/other","1"]', columns: expect.objectContaining({ 'data.amount': 3 }) },
    { id: '["/shop","1"]', columns: expect.objectContaining({ 'data.note': null }) },
  ]);
});

test('a filter takes an absent value for null, and only an event that it accepts needs a key', async ({
  db,
}) => {
  const worker = await workerOn(db, [paid]);
  const kinds = await ingestAll(
    worker,
    event('com.shop.paid', { country: 'SE' }, SHOP),
    event('com.shop.paid', { order: { id: 1 } }, SHOP),
    event('com.shop.paid', { order: { id: 1 }, country: 'NO' }),
    event('com.shop.paid', { order: { id: null }, country: 'NO' }, SHOP),
  );
  expect(kinds).toEqual(['ingested', 'ingested', 'ingested', 'ingested']);
  expect(await keysOf(db)).toEqual([]);
});

const parked: [what: string, given: EventChange, reason: string, detail: string][] = [
  [
    'an absent key',
    event('com.shop.paid', { order: { no: 1 }, country: 'NO' }, SHOP),
    'bad-event',
    'data.order.id is not in the event com.shop.paid; part paid of paid names it',
  ],
  [
    'a key below a text',
    event('com.shop.paid', { order: 'x', country: 'NO' }, SHOP),
    'bad-event',
    'data.order.id is not in the event com.shop.paid; part paid of paid names it',
  ],
  [
    'an object for a key',
    event('com.shop.paid', { order: { id: {} }, country: 'NO' }, SHOP),
    'bad-key',
    "column 'data.order.id' is an object, and can't be part of a key",
  ],
  [
    'data that is not JSON',
    event('com.shop.paid', 'hello', SHOP),
    'bad-event',
    'the data is not JSON; part paid of paid names it',
  ],
  [
    'data of another type',
    event('com.shop.paid', '{}', { ...SHOP, contenttype: 'text/plain' }),
    'bad-event',
    'the data is text/plain, not JSON; part paid of paid names it',
  ],
  [
    'U+0000 in a kept value',
    event('com.shop.paid', { order: { id: 1 }, country: 'NO', note: 'a\0' }, SHOP),
    'bad-value',
    'data.note holds U+0000; part paid of paid names it',
  ],
  [
    'an absent version',
    order(undefined),
    'bad-event',
    'data.revision is not in the event com.shop.order; part order of orders names it',
  ],
  [
    'a version that is none',
    order('first'),
    'bad-event',
    'the version data.revision is "first", not a whole number below 2^54, or a time since 1970 in RFC 3339; part order of orders names it',
  ],
  [
    'a negative version',
    order(-1),
    'bad-event',
    'the version data.revision is -1, not a whole number below 2^54, or a time since 1970 in RFC 3339; part order of orders names it',
  ],
  [
    'a version of 2^54',
    order(JSON.rawJSON(String(2n ** 54n))),
    'bad-event',
    'the version data.revision is 18014398509481984, not a whole number below 2^54, or a time since 1970 in RFC 3339; part order of orders names it',
  ],
  [
    'a key that only its prototype has',
    event('com.shop.proto', {}),
    'bad-event',
    'data.toString is not in the event com.shop.proto; part a of proto names it',
  ],
  [
    'an absent version of an event that takes another back',
    cancelled(undefined),
    'bad-event',
    'data.revision is not in the event com.shop.cancelled; part order of orders names it; data.revision is not in the event com.shop.cancelled; part draft of orders names it',
  ],
  [
    'a null id',
    order(1, { id: null }),
    'bad-key',
    "data.id of the event com.shop.order is null, and can't be an id; part order of orders names it",
  ],
  [
    'a record without its key',
    record('labels', 1, { order: 1 }),
    'bad-event',
    'orderId is not in the record of topic labels, partition 0, offset 1; part record of mixed names it',
  ],
];

test.for(parked)(
  'an event with %s is parked, with the path and the value',
  async ([, given, reason, detail], { db }) => {
    const worker = await workerOn(db, [paid, orders, mixed, proto]);
    expect(await worker.ingestor.ingest(given)).toEqual({ kind: 'parked', reason, detail });
    expect(await keysOf(db)).toEqual([]);
    expect(await db.query('select reason, detail from muster.parked')).toEqual([
      { reason, detail },
    ]);
  },
);

test('an attribute alone can be read without JSON, and one that a part names is parked whole', async ({
  db,
}) => {
  const worker = await workerOn(db, [mixed, paid]);
  await worker.ingestor.ingest(
    event('com.shop.sent', 'hello', { subject: '4711', contenttype: 'text/plain' }),
  );
  expect(await keysOf(db)).toEqual([]);
  expect(await setsOf(db, 3)).toEqual([{ key: '4711', counts: [0, 1, 0], fresh: 1 }]);
  const subject = 's'.repeat(1000);
  const none = event('com.shop.paid', 'hello', { subject: 'shop', id: subject });
  expect(await worker.ingestor.ingest(none)).toMatchObject({ kind: 'parked' });
  expect(await db.query(`select attributes ->> 'id' as id from muster.parked`)).toEqual([
    { id: subject },
  ]);
});

const lives: [what: string, events: readonly EventChange[], keys: readonly string[]][] = [
  ['the newest version counts', [order(1), order(2, { customer: 'bob' })], ['bob']],
  ['version 0 is older than 1', [order(0), order(1, { customer: 'bob' })], ['bob']],
  ['a newer version may be rejected', [order(1), order(2, { state: 'draft' })], []],
  ['one that takes it back', [order(1), cancelled(2)], []],
  ['one of the same version takes it back', [order(1), cancelled(1)], []],
  ['an older one does not take it back', [order(2), cancelled(1)], ['ann']],
  ['it may come again', [order(1), cancelled(1), order(2)], ['ann']],
  [
    'versions are exact beyond 2^53',
    [
      order(JSON.rawJSON('9007199254740993')),
      order(JSON.rawJSON('9007199254740992'), { customer: 'bob' }),
    ],
    ['ann'],
  ],
  [
    'times are compared, not their text, to the microsecond',
    [
      order('2026-11-29T12:00:00.000002+01:00'),
      order('2026-11-29T11:00:00.000001Z', { customer: 'bob' }),
    ],
    ['ann'],
  ],
];

test.for(lives)('in every order of arrival: %s', async ([, events, keys], { db }) => {
  for (const [i, arrival] of permutations(events).entries()) {
    await db.query('truncate muster.member, muster.sets, muster.queue, muster.lease');
    const worker = await workerOn(db, [orders]);
    await ingestAll(worker, ...arrival, ...arrival);
    expect([i, await keysOf(db)]).toEqual([i, keys]);
    expect(await miscounted(db)).toEqual([]);
    await worker.close();
  }
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, i) =>
    permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]),
  );
}

test('a set of a row, an event and a record is complete, and is explained', async ({ db }) => {
  const worker = await workerOn(db, [mixed], { slots: 1 });
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x' }));
  await worker.ingestor.ingest(record('labels', 5, { orderId: 'x' }));
  expect(worker.leases).toEqual([]);
  const last = event('com.shop.sent', {}, { subject: 'x', id: '9' });
  await worker.ingestor.ingest(last);
  expect(worker.leases).toMatchObject([{ key: 'x' }]);
  const explained = await explain(queriesOf(worker.database.control), 'mixed', 'x');
  expect(explained!.parts.map(({ part, rows }) => [part, rows[0]!.id, rows[0]!.lsn])).toEqual([
    ['row', '1', '1'],
    ['event', '["/shop","9"]', null],
    ['record', '["0","5"]', null],
  ]);
  expect(await worker.ingestor.explain(last)).toMatchObject({ sets: [{ key: 'x' }] });
});

test('integers beyond 2^53 stay exact in keys and filters', async ({ db }) => {
  const exact = defineFunction({
    name: 'exact',
    parts: { a: { topic: 'big', key: 'id', where: { flag: '9007199254740995' } } },
    handle() {},
  });
  const worker = await workerOn(db, [exact]);
  await ingestAll(
    worker,
    record('big', 1, '{"id": 9007199254740993, "flag": 9007199254740995}'),
    record('big', 2, '{"id": 9007199254740992, "flag": 9007199254740995}'),
    record('big', 3, '{"id": 1, "flag": 9007199254740994}'),
  );
  expect(await keysOf(db)).toEqual(['9007199254740992', '9007199254740993']);
});

test('an event of a type that no function names is explained with the types that are wanted', async ({
  db,
}) => {
  const worker = await workerOn(db, [orders, mixed]);
  const other = event('com.shop.other', {});
  expect(await worker.ingestor.ingest(other)).toEqual({ kind: 'unwanted' });
  expect(await worker.ingestor.explain(other)).toEqual({
    sets: [],
    why: 'no function that is served here names the event com.shop.other, only event com.shop.order, event com.shop.cancelled, event com.shop.sent, topic labels; did you mean event com.shop.order?',
  });
});

test('an older worker does not acknowledge an event of a type that only the newer definition names', async ({
  db,
}) => {
  const before = { ...orders, parts: { order: { event: 'com.shop.order', key: 'subject' } } };
  const old = await workerOn(db, [before]);
  const young = await workerOn(db, [orders]);
  const superseded = { reason: 'superseded' };
  await expect(old.ingestor.ingest(cancelled(1))).rejects.toMatchObject(superseded);
  expect(await young.ingestor.ingest(cancelled(1))).toEqual({ kind: 'ingested' });
});

test('an event that an older definition rejects without an id of it is left to the newer one', async ({
  db,
}) => {
  const part = { event: 'com.shop.order', key: 'data.customer', id: 'data.id' };
  const of = (state: string, version: string) => ({
    ...orders,
    parts: { order: { ...part, version, where: { 'data.state': state } } },
  });
  const old = await workerOn(db, [of('open', 'data.rev')]);
  const young = await workerOn(db, [of('paid', 'data.version')]);
  const shipped = event('com.shop.order', { customer: 'ann', id: 1, state: 'paid', version: 3 });
  await expect(old.ingestor.ingest(shipped)).rejects.toMatchObject({ reason: 'superseded' });
  expect(await young.ingestor.ingest(shipped)).toEqual({ kind: 'ingested' });
});

test('an attribute may have the name of what every object has', async ({ db }) => {
  const part = { event: 'com.shop.paid', key: 'constructor', where: { valueof: null } };
  const worker = await workerOn(db, [
    defineFunction({ name: 'odd', parts: { part }, handle() {} }),
  ]);
  expect(await worker.ingestor.ingest(event('com.shop.paid', {}))).toMatchObject({
    kind: 'parked',
    detail: expect.stringContaining('constructor'),
  });
  await worker.ingestor.ingest(event('com.shop.paid', {}, { constructor: 'x' }));
  expect((await setsOf(db, 1)).map(({ key }) => key)).toEqual(['x']);
});

test('the events have no epochs, and no connector replaces them', async ({ db }) => {
  const worker = await workerOn(db, [orders]);
  await worker.ingestor.ingest(order(1));
  const refusal = '(events) are all events that are parts by themselves, not a connector';
  await expect(bumpEpoch(worker.database, '(events)')).rejects.toThrow(refusal);
  await expect(replaceSource(worker.database, '(events)', 'pg')).rejects.toThrow(refusal);
  await expect(forgetSource(worker.database, '(events)')).rejects.toThrow(refusal);
  expect(await db.query('select name, epoch, lsn from muster.source')).toEqual([
    { name: '(events)', epoch: 0, lsn: '0' },
  ]);
});
