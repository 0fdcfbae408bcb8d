import { expect } from 'vitest';
import { defineFunction } from '../../src/function.ts';
import { serverOn } from '../support/engine.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { debeziumMessages, type DebeziumMessage } from './fixtures.ts';
import { bytes, flattened, insert, source } from './messages.ts';
import { answerOf, type Answer } from './server.ts';

const orders = defineFunction({
  name: 'orders',
  parts: {
    order: { table: 'public.orders', key: 'customer' },
    payment: { table: 'public.payments', key: 'customer' },
  },
  handle() {},
});

const signals = defineFunction({
  name: 'signals',
  parts: {
    eeg: { table: 'datastore.signal', key: 'recording', where: { sensor_type: 'eeg' } },
    ecg: { table: 'datastore.signal', key: 'recording', where: { sensor_type: 'ecg' } },
  },
  handle() {},
});

type Bad = [what: string, value: unknown, reason: string, detail: unknown];

const bad: Bad[] = [
  ['not JSON', 'hello', 'not-a-change', 'the body is not JSON'],
  [
    'JSON cut short',
    '{"op":"c"',
    'not-a-change',
    expect.stringMatching(/^the body is not JSON at position 9/),
  ],
  ['an empty object', {}, 'not-a-change', expect.stringMatching(/^neither an envelope/)],
  ['an array', [], 'not-a-change', 'the body is an array, not an object'],
  ['invalid UTF-8', Buffer.of(0x22, 0xff, 0x22), 'not-a-change', 'the body is not text in UTF-8'],
  ['a BOM alone', Buffer.of(0xef, 0xbb, 0xbf), 'not-a-change', 'the body is not JSON'],
  [
    'another CloudEvent',
    { specversion: '1.0', type: 'x' },
    'not-a-change',
    expect.stringMatching(/CloudEvent of type "x"/),
  ],
  [
    'a flattened row without op',
    { ...flattened, __op: undefined },
    'incomplete-change',
    expect.stringMatching(/^__op is missing/),
  ],
  [
    'an unknown op',
    { ...insert, op: 'x' },
    'incomplete-change',
    expect.stringMatching(/^op is "x"/),
  ],
  [
    'no source',
    { ...insert, source: null },
    'incomplete-change',
    expect.stringMatching(/^source.schema is missing/),
  ],
  [
    'no table',
    of({ table: null }),
    'incomplete-change',
    expect.stringMatching(/^source.table is null/),
  ],
  [
    'no time',
    of({ ts_ms: null }),
    'incomplete-change',
    expect.stringMatching(/^source.ts_ms is null/),
  ],
  ['no LSN', of({ lsn: null }), 'incomplete-change', expect.stringMatching(/^source.lsn is null/)],
  [
    'an LSN of words',
    of({ lsn: 'here' }),
    'incomplete-change',
    expect.stringMatching(/^source.lsn is "here"/),
  ],
  ['LSN 0', of({ lsn: 0 }), 'position-ahead', expect.stringMatching(/^source.lsn is 0, absurd/)],
  ['LSN -1', of({ lsn: -1 }), 'position-ahead', expect.stringMatching(/^source.lsn is -1, absurd/)],
  [
    'LSN 2^55',
    of({ lsn: '36028797018963968' }),
    'position-ahead',
    expect.stringMatching(/^source.lsn is 3602.*, absurd/),
  ],
  [
    'an LSN a gibibyte ahead',
    of({ lsn: source.lsn + 2 ** 31 }),
    'position-ahead',
    expect.stringMatching(/ahead of 24023128/),
  ],
  [
    'before and after null',
    { ...insert, after: null },
    'incomplete-change',
    'after is null, not a row',
  ],
  [
    'a row that is an array',
    { ...insert, after: [] },
    'incomplete-change',
    'after is an array, not a row',
  ],
  ['no primary key', row({ customer: 'a' }), 'bad-key', "primary key column 'id' is absent"],
  [
    'a null primary key',
    row({ id: null, customer: 'a' }),
    'bad-key',
    "primary key column 'id' is null",
  ],
  [
    'an object for a key',
    row({ id: 1, customer: {} }),
    'bad-key',
    expect.stringMatching(/^column 'customer' is an object/),
  ],
  [
    'an over-long key',
    row({ id: 1, customer: 'k'.repeat(1025) }),
    'bad-key',
    expect.stringMatching(/has 1025 bytes/),
  ],
  [
    'an over-long primary key',
    row({ id: 'k'.repeat(4000), customer: 'a' }),
    'bad-key',
    expect.stringMatching(/has 4000 bytes/),
  ],
  ['NUL in a key', row({ id: 1, customer: 'a\0' }), 'bad-value', 'column "customer" holds U+0000'],
  [
    'half a surrogate pair',
    row({ id: 1, customer: '\ud800' }),
    'bad-value',
    expect.stringMatching(/^column "customer" holds half/),
  ],
  [
    '200,000 levels',
    placed('['.repeat(200_000) + ']'.repeat(200_000)),
    'bad-value',
    expect.stringMatching(/nests deeper/),
  ],
  [
    'a key that was not sent, of a row never seen',
    { ...row({ id: 99, customer: '__debezium_unavailable_value' }), op: 'u' },
    'unavailable-column',
    expect.stringMatching(/^column 'customer' of public.orders was not sent/),
  ],
];

test('an event that can’t be ingested is parked whole, with its reason, and the next event is ingested', async ({
  db,
}) => {
  const server = await serverOn(db, [orders]);
  expect(await post(server.url, insertOf(1, 'a'))).toMatchObject({ status: 204 });
  for (const [what, value, reason, detail] of bad) {
    const body = { parked: reason, detail };
    const prefer = 'return=representation';
    expect([what, await post(server.url, value, { prefer })]).toEqual([
      what,
      { status: 202, reason: null, body },
    ]);
  }
  expect(await post(server.url, insertOf(2, 'a'))).toMatchObject({ status: 204 });
  await server.stop();

  const parked = await db.query(
    'select reason, attributes, body, seen from muster.parked order by id',
  );
  expect(parked).toEqual(
    bad.map(([, value, reason]) => ({ reason, attributes, body: bytes(value), seen: 1 })),
  );
  expect(
    await db.query(
      'select id, key from muster.member join muster.sets using (function, key_hash) order by id',
    ),
  ).toEqual([
    { id: '1', key: 'a' },
    { id: '2', key: 'a' },
  ]);
});

test('an event that is parked again is only counted', async ({ db }) => {
  const server = await serverOn(db, [orders]);
  for (let time = 0; time < 3; time++) await post(server.url, 'hello');
  await server.stop();
  expect(await db.query('select seen from muster.parked')).toEqual([{ seen: 3 }]);
});

test('keys beyond 2^53 that differ by one name two sets', async ({ db }) => {
  const server = await serverOn(db, [orders]);
  for (const key of ['9007199254740992', '9007199254740993']) {
    const text = JSON.stringify(insertOf(Number(key.at(-1)), 'KEY')).replace('"KEY"', key);
    expect(await post(server.url, text)).toMatchObject({ status: 204 });
  }
  await server.stop();
  expect(await db.query('select key from muster.sets order by key')).toEqual([
    { key: '9007199254740992' },
    { key: '9007199254740993' },
  ]);
});

test('a row with null in its key is ingested and joins no set', async ({ db }) => {
  const server = await serverOn(db, [orders]);
  expect(await post(server.url, row({ id: 1, customer: null }))).toMatchObject({ status: 204 });
  await server.stop();
  expect(await db.query('select key from muster.sets')).toEqual([]);
});

test('an explained answer shows the set that an event belongs to', async ({ db }) => {
  const server = await serverOn(db, [orders]);
  const answer = await post(server.url, insertOf(1, 'a'), { prefer: 'return=representation' });
  await server.stop();
  expect(answer).toMatchObject({
    status: 200,
    body: {
      outcome: 'ingested',
      sets: [{ function: 'orders', key: 'a', status: 'waiting', missing: ['payment'] }],
    },
  });
});

const folders = [...new Set(debeziumMessages.map(({ folder }) => folder))];

test.for(folders.filter((folder) => folder !== 'cloudevents-no-extensions'))(
  'Debezium’s messages in %s leave the same members in either order',
  async (folder, { db }) => {
    const messages = debeziumMessages.filter(
      (message) => message.folder === folder && message.kind !== 't',
    );
    const forwards = await membersAfter(db, messages);
    await forget(db);
    expect(await membersAfter(db, messages.toReversed())).toEqual(forwards);
    expect(forwards).not.toEqual([]);
  },
);

test.for(['json', 'json-schemas', 'cloudevents'])(
  'the truncate in %s removes every row, whether it arrives last or first',
  async (folder, { db }) => {
    const messages = debeziumMessages.filter((message) => message.folder === folder);
    expect(messages.map(({ kind }) => kind)).toContain('t');
    expect(await membersAfter(db, messages)).toEqual([]);
    await forget(db);
    expect(await membersAfter(db, messages.toReversed())).toEqual([]);
  },
);

test('messages of the converter without its extensions are parked, one by one', async ({ db }) => {
  const messages = debeziumMessages.filter(({ folder }) => folder === 'cloudevents-no-extensions');
  const server = await serverOn(db, [signals]);
  const statuses: number[] = [];
  for (const { body } of messages) statuses.push((await post(server.url, body)).status);
  await server.stop();
  expect(statuses).toEqual([202, 202, 202, 202, 202, 202, 204]);
  const parked = await db.query(
    'select reason, detail, count(*)::int from muster.parked group by 1, 2',
  );
  const detail = 'op is missing: CloudEventsConverter needs extension.attributes.enable=true';
  expect(parked).toEqual([{ reason: 'incomplete-change', detail, count: 6 }]);
});

async function forget(db: TestDatabase): Promise<void> {
  await db.query(
    'truncate muster.member, muster.sets, muster.queue, muster.lease, muster.deadline, muster.overdue, muster.source, muster.truncation',
  );
}

/** Ingests the messages as KafkaSource sends them; returns the remaining members, newest version each. */
async function membersAfter(
  db: TestDatabase,
  messages: readonly DebeziumMessage[],
): Promise<object[]> {
  const server = await serverOn(db, [signals]);
  for (const { body, name } of messages) {
    expect([name, await post(server.url, body)]).toEqual([
      name,
      { status: 204, reason: null, body: null },
    ]);
  }
  await server.stop();
  return db.query(`
    select part_index, id, key_hash, in_set, version, at, columns from muster.member where in_set order by part_index, id collate "C"`);
}

const attributes = {
  specversion: '1.0',
  id: 'partition:2/offset:7',
  source: '/apis/v1/namespaces/shop/kafkasources/orders-source#shop.public.orders',
  type: 'dev.knative.kafka.event',
  knativekafkapartition: '2',
  knativekafkaoffset: '7',
};

async function post(
  url: string,
  value: unknown,
  more: Record<string, string> = {},
): Promise<Answer> {
  const names = Object.entries(attributes).map(([name, text]) => [`ce-${name}`, text] as const);
  const headers = { ...Object.fromEntries(names), prefer: 'reply', ...more };
  return answerOf(await fetch(url, { method: 'POST', headers, body: bytes(value) }));
}

function insertOf(id: number, customer: string): object {
  return row({ id, customer });
}

/** The insert of another row. */
function row(after: object): object {
  return { ...insert, after };
}

/** The insert with other metadata. */
function of(metadata: object): object {
  return { ...insert, source: { ...source, ...metadata } };
}

/** The insert's text with this in place of its state. */
function placed(text: string): string {
  return JSON.stringify(insert).replace('"PLACED"', text);
}
