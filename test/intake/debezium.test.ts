import { expect, test } from 'vitest';
import { readCloudEvents, type CloudEvent } from '../../src/intake/cloudevent.ts';
import { readChange, type Reading } from '../../src/intake/debezium.ts';
import { UNAVAILABLE } from '../../src/state/change.ts';
import { debeziumMessages, type DebeziumMessage } from './fixtures.ts';

test('there are 151 messages of a real Debezium to read', () => {
  expect(debeziumMessages).toHaveLength(151);
});

test.for(debeziumMessages)('$name is read as what it is', (message) => {
  const event = kafkaEvent(message.body);
  expect(readChange(event)).toEqual(expected(message, event));
});

test.for(
  debeziumMessages.filter(
    ({ folder, value }) => folder.startsWith('cloudevents') && value !== null,
  ),
)('$name is read the same as a structured CloudEvent', (message) => {
  const incoming = readCloudEvents(
    { 'content-type': 'application/cloudevents+json' },
    message.body,
  );
  if (incoming.kind !== 'event') throw new Error(JSON.stringify(incoming));
  expect(readChange(incoming.event)).toEqual(expected(message, incoming.event));
});

test.for(
  debeziumMessages.filter(({ folder, value }) => folder === 'cloudevents' && value !== null),
)('$name is read the same in binary mode, with its metadata in headers', (message) => {
  const { data, ...attributes } = message.value;
  const headers = Object.entries<string>(attributes)
    .filter(([name, value]) => value !== null && name !== 'iodebeziumtxId')
    .map(([name, value]) => [`ce-${name}`, value] as const);
  const incoming = readCloudEvents(Object.fromEntries(headers), Buffer.from(JSON.stringify(data)));
  if (incoming.kind !== 'event') throw new Error(JSON.stringify(incoming));
  expect(readChange(incoming.event)).toEqual(expected(message, incoming.event));
});

const lsn = 24023128;
const source = {
  name: 'shop',
  schema: 'public',
  table: 'orders',
  lsn,
  ts_ms: 1767323045000,
  snapshot: 'false',
};
const insert = {
  before: null,
  after: { id: 42, state: 'PLACED' },
  source,
  op: 'c',
  ts_ms: 1767323045123,
};

test('an LSN may be text', () => {
  const event = kafkaEvent(json({ ...insert, source: { ...source, lsn: '24023128' } }));
  expect(readChange(event)).toMatchObject({ kind: 'row', lsn: 24023128n });
});

test('an LSN beyond 2^53 stays exact', () => {
  const text = JSON.stringify(insert).replace(String(lsn), '9007199254740993');
  expect(readChange(kafkaEvent(text))).toMatchObject({ kind: 'row', lsn: 9007199254740993n });
});

test('an integer beyond 2^53 stays exact at any depth, a double stays a double', () => {
  const text = JSON.stringify(insert).replace(
    '"PLACED"',
    '9007199254740993,"deep":{"a":[{"b":-18446744073709551617}]},"double":1.7e300,"huge":1e400',
  );
  const reading = readChange(kafkaEvent(text));
  expect(JSON.stringify(rowOf(reading))).toBe(
    '{"id":42,"state":9007199254740993,"deep":{"a":[{"b":-18446744073709551617}]},"double":1.7e+300,"huge":1e400}',
  );
});

test('a column named like Debezium’s nanoseconds stays exact', () => {
  const text = JSON.stringify(insert).replace('"PLACED"', '1,"ts_ns":1795251013227056001');
  expect(JSON.stringify(rowOf(readChange(kafkaEvent(text))))).toBe(
    '{"id":42,"state":1,"ts_ns":1795251013227056001}',
  );
});

test.for([
  ['text', '__debezium_unavailable_value'],
  ['bytes', 'X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=='],
  ['an array of text', ['__debezium_unavailable_value']],
  ['an array of bytes', ['X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==']],
  ['an array of uuid', ['b68a35a7-17ad-35b3-af2a-ae46edb4545a']],
  ['an array of int', [...Buffer.from('__debezium_unavailable_value')]],
  ['hstore', { __debezium_unavailable_value: '__debezium_unavailable_value' }],
] as const)('the placeholder of %s is no value', ([, placeholder]) => {
  const event = kafkaEvent(json({ ...insert, op: 'u', after: { id: 42, state: placeholder } }));
  expect(rowOf(readChange(event))).toEqual({ id: 42, state: UNAVAILABLE });
});

test('keys named __proto__ are gone and change no prototype', () => {
  const text = JSON.stringify(insert).replace(
    '"PLACED"',
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}},"__proto__":{"polluted":1}',
  );
  const row = rowOf(readChange(kafkaEvent(text)));
  expect(JSON.stringify(row)).toBe(
    '{"id":42,"state":{"constructor":{"prototype":{"polluted":1}}}}',
  );
  expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
});

const flattened = {
  id: 42,
  state: 'PLACED',
  __op: 'u',
  __table: 'orders',
  __schema: 'public',
  __name: 'shop',
  __lsn: lsn,
  __source_ts_ms: 1767323045000,
};

test('a flattened row is read by its added fields', () => {
  const event = kafkaEvent(json(flattened));
  expect(readChange(event)).toEqual({
    kind: 'row',
    op: 'u',
    source: 'shop',
    table: 'public.orders',
    lsn: BigInt(lsn),
    at: 1767323045000,
    snapshot: null,
    row: flattened,
    origin: event,
  });
});

test('a flattened delete, rewritten, is read with its row', () => {
  const gone = { ...flattened, __op: 'd', __deleted: 'true' };
  expect(readChange(kafkaEvent(json(gone)))).toMatchObject({ kind: 'row', op: 'd', row: gone });
});

test.for([
  ['true', lsn, 'initial'],
  ['first', lsn, 'initial'],
  ['last', lsn, 'initial'],
  ['first_in_data_collection', lsn, 'initial'],
  ['last_in_data_collection', lsn, 'initial'],
  [true, lsn, 'initial'],
  ['incremental', null, 'incremental'],
  ['false', lsn, 'initial'],
  [null, lsn, 'initial'],
  [undefined, lsn, 'initial'],
  [false, null, 'incremental'],
  [undefined, null, 'incremental'],
] as const)('a read marked %s with LSN %s belongs to the %s snapshot', ([snapshot, at, which]) => {
  const read = { ...insert, op: 'r', source: { ...source, snapshot, lsn: at } };
  expect(readChange(kafkaEvent(json(read)))).toMatchObject({ kind: 'row', snapshot: which });
});

test('a marker of a snapshot on a streamed change changes nothing', () => {
  const event = kafkaEvent(json({ ...insert, source: { ...source, snapshot: 'last' } }));
  expect(readChange(event)).toMatchObject({ op: 'c', snapshot: null });
});

const unreadable: [what: string, body: unknown, reason: string, detail: string][] = [
  [
    'an unknown op',
    { ...insert, op: 'x' },
    'incomplete-change',
    'op is "x": c, u, d, r, t or m is expected',
  ],
  [
    'op null',
    { ...insert, op: null },
    'incomplete-change',
    'op is null: c, u, d, r, t or m is expected',
  ],
  [
    'no op',
    { before: null, after: {}, source },
    'incomplete-change',
    'op is missing: CloudEventsConverter needs extension.attributes.enable=true',
  ],
  [
    'no source',
    { ...insert, source: undefined },
    'incomplete-change',
    'source.schema is missing: a name is expected',
  ],
  [
    'source a text',
    { ...insert, source: 'shop' },
    'incomplete-change',
    'source.schema is missing: a name is expected',
  ],
  [
    'no table',
    { ...insert, source: { ...source, table: undefined } },
    'incomplete-change',
    'source.table is missing: a name is expected',
  ],
  [
    'an empty table',
    { ...insert, source: { ...source, table: '' } },
    'incomplete-change',
    'source.table is "": a name is expected',
  ],
  [
    'a table that is a number',
    { ...insert, source: { ...source, table: 7 } },
    'incomplete-change',
    'source.table is 7: a name is expected',
  ],
  [
    'no schema',
    { ...insert, source: { ...source, schema: null } },
    'incomplete-change',
    'source.schema is null: a name is expected',
  ],
  [
    'no time',
    { ...insert, source: { ...source, ts_ms: undefined } },
    'incomplete-change',
    'source.ts_ms is missing: milliseconds since 1970 are expected',
  ],
  [
    'a time in microseconds',
    { ...insert, source: { ...source, ts_ms: 1767323045000000 } },
    'incomplete-change',
    'source.ts_ms is 1767323045000000: milliseconds since 1970 are expected',
  ],
  [
    'a time before 1970',
    { ...insert, source: { ...source, ts_ms: -1 } },
    'incomplete-change',
    'source.ts_ms is -1: milliseconds since 1970 are expected',
  ],
  [
    'no LSN',
    { ...insert, source: { ...source, lsn: null } },
    'incomplete-change',
    'source.lsn is null: a position in the log is expected',
  ],
  [
    'no LSN on a truncate',
    { ...insert, op: 't', source: { ...source, lsn: undefined } },
    'incomplete-change',
    'source.lsn is missing: a position in the log is expected',
  ],
  [
    'an LSN in Postgres’ notation',
    { ...insert, source: { ...source, lsn: '0/16B3748' } },
    'incomplete-change',
    'source.lsn is "0/16B3748": a position in the log is expected',
  ],
  [
    'an LSN with a fraction',
    { ...insert, source: { ...source, lsn: 1.5 } },
    'incomplete-change',
    'source.lsn is 1.5: a position in the log is expected',
  ],
  [
    'an LSN that is an object',
    { ...insert, source: { ...source, lsn: {} } },
    'incomplete-change',
    'source.lsn is an object: a position in the log is expected',
  ],
  [
    'LSN 0',
    { ...insert, source: { ...source, lsn: 0 } },
    'position-ahead',
    'source.lsn is 0, absurd: no log has that position',
  ],
  [
    'a negative LSN',
    { ...insert, source: { ...source, lsn: -5 } },
    'position-ahead',
    'source.lsn is -5, absurd: no log has that position',
  ],
  [
    'LSN 2^55',
    { ...insert, source: { ...source, lsn: '36028797018963968' } },
    'position-ahead',
    'source.lsn is 36028797018963968, absurd: no log has that position',
  ],
  [
    'an unknown snapshot marker',
    { ...insert, op: 'r', source: { ...source, snapshot: 'maybe' } },
    'incomplete-change',
    'source.snapshot is "maybe": a snapshot marker of Debezium is expected',
  ],
  [
    'before and after null',
    { ...insert, after: null },
    'incomplete-change',
    'after is null, not a row',
  ],
  [
    'a delete without before',
    { ...insert, op: 'd' },
    'incomplete-change',
    'before is null, not a row',
  ],
  [
    'after an array',
    { ...insert, after: [1] },
    'incomplete-change',
    'after is an array, not a row',
  ],
  [
    'after a text',
    { ...insert, after: 'secret' },
    'incomplete-change',
    'after is a text, not a row',
  ],
  ['NUL in a text', { ...insert, after: { id: 'a\0b' } }, 'bad-value', 'column id holds U+0000'],
  [
    'NUL deep in a column',
    { ...insert, after: { id: 1, list: [{ a: '\0' }] } },
    'bad-value',
    'column list holds U+0000',
  ],
  [
    'a column nested 65 deep',
    { ...insert, after: { id: 1, deep: nested(65) } },
    'bad-value',
    'column deep nests deeper than 64 levels',
  ],
  [
    'a column nested 200,000 deep',
    JSON.stringify(insert).replace('"PLACED"', '['.repeat(200_000) + ']'.repeat(200_000)),
    'bad-value',
    'column state nests deeper than 64 levels',
  ],
  [
    '200,000 deep beside a rounded integer',
    JSON.stringify(insert).replace(
      '"PLACED"',
      `9007199254740993}, "more": {"a": ${'['.repeat(200_000)}${']'.repeat(200_000)}`,
    ),
    'not-a-change',
    'the body is nested too deep',
  ],
  [
    'half a surrogate pair',
    '{"before":null,"after":{"id":"\\ud800"},"source":' + JSON.stringify(source) + ',"op":"c"}',
    'bad-value',
    'column id holds half a surrogate pair',
  ],
  [
    'invalid UTF-8',
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]),
    'not-a-change',
    'the body is not text in UTF-8',
  ],
  ['no JSON', 'hello', 'not-a-change', 'the body is not JSON'],
  ['truncated JSON', '{"before":null,', 'not-a-change', 'the body is not JSON at position 15'],
  ['a space', ' ', 'not-a-change', 'the body is not JSON'],
  ['an array', [insert], 'not-a-change', 'the body is an array, not an object'],
  ['a text', '"insert"', 'not-a-change', 'the body is a text, not an object'],
  ['a number', '42', 'not-a-change', 'the body is a scalar, not an object'],
  [
    'an empty object',
    {},
    'not-a-change',
    'neither an envelope (op, source, before, after) nor a flattened row (__op, __table, __lsn)',
  ],
  [
    'a row alone',
    { id: 42, state: 'PLACED' },
    'not-a-change',
    'neither an envelope (op, source, before, after) nor a flattened row (__op, __table, __lsn)',
  ],
  [
    'a flattened row without fields',
    { id: 42, __deleted: 'false' },
    'incomplete-change',
    '__op is missing: ExtractNewRecordState needs add.fields=op,table,lsn,schema,name,snapshot,source.ts_ms',
  ],
  [
    'a flattened row without its time of commit',
    { ...flattened, __source_ts_ms: undefined, __ts_ms: 1767323045123 },
    'incomplete-change',
    '__source_ts_ms is missing: milliseconds since 1970 are expected',
  ],
  [
    'a flattened row without LSN',
    { ...flattened, __lsn: undefined },
    'incomplete-change',
    '__lsn is missing: a position in the log is expected',
  ],
  [
    'another CloudEvent',
    { specversion: '1.0', id: '1', source: '/s', type: 'com.example.order' },
    'not-a-change',
    'the body is a CloudEvent of type "com.example.order"',
  ],
  [
    'a CloudEvent of Debezium in Avro',
    { specversion: '1.0', type: 'io.debezium.x', data_base64: 'AA==' },
    'not-a-change',
    'the CloudEvent in the body has data_base64, not JSON',
  ],
  [
    'a CloudEvent of Debezium with a text',
    { specversion: '1.0', type: 'io.debezium.x', data: 'x' },
    'not-a-change',
    'the body is a text, not an object',
  ],
];

test.for(unreadable)('%s is kept aside with its reason', ([, body, reason, detail]) => {
  expect(readChange(kafkaEvent(json(body)))).toEqual({ kind: 'unreadable', reason, detail });
});

test.for([
  ['an empty body', '', 'tombstone'],
  ['null', 'null', 'tombstone'],
  ['null with its schema', '{"schema":null,"payload":null}', 'tombstone'],
  ['a heartbeat', '{"ts_ms":1795251013626,"ts_us":1795251013626000}', 'heartbeat'],
] as const)('%s changes nothing', ([, body, why]) => {
  expect(readChange(kafkaEvent(body))).toEqual({ kind: 'ignored', why });
});

test('an event of another type is none of ours, whatever it carries', () => {
  const event: CloudEvent = { ...kafkaEvent(json(insert)), type: 'boson.fn' };
  expect(readChange(event)).toEqual({ kind: 'ignored', why: 'other-type' });
});

/** As KafkaSource sends a record. */
function kafkaEvent(body: string | Uint8Array): CloudEvent {
  const attributes = {
    specversion: '1.0',
    type: 'dev.knative.kafka.event',
    id: 'partition:0/offset:4',
    source: '/apis/v1/namespaces/shop/kafkasources/orders-source#shop.public.orders',
  };
  return {
    type: attributes.type,
    attributes,
    contentType: null,
    body: Buffer.from(body),
    data: undefined,
  };
}

function json(value: unknown): string | Buffer {
  return typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value);
}

function nested(depth: number): unknown {
  return depth === 0 ? 'x' : [nested(depth - 1)];
}

function rowOf(reading: Reading): unknown {
  if (reading.kind !== 'row') throw new Error(JSON.stringify(reading));
  return reading.row;
}

/** By what the file's name says, and by searching the text. */
function expected(
  { folder, step, kind, value, body }: DebeziumMessage,
  event: CloudEvent,
): unknown {
  if (value === null) return { kind: 'ignored', why: 'tombstone' };
  if (kind === 'heartbeat') return { kind: 'ignored', why: 'heartbeat' };
  if (kind.startsWith('transaction')) return { kind: 'ignored', why: 'transaction' };
  if (kind === 'm') return { kind: 'ignored', why: 'message' };
  if (folder === 'cloudevents-no-extensions') {
    const detail = 'op is missing: CloudEventsConverter needs extension.attributes.enable=true';
    return { kind: 'unreadable', reason: 'incomplete-change', detail };
  }
  const text = body.toString();
  const position = /"(?:lsn|iodebeziumlsn)":"?(\d+)/.exec(text)?.[1];
  const time = /"(?:snapshot|iodebeziumsnapshot)":/.exec(text)!.index;
  const at = Number(/"(?:ts_ms|iodebeziumtsms)":"?(\d+)"?,$/.exec(text.slice(0, time))![1]);
  const common = { source: 'postgres', table: 'datastore.signal', at, origin: event };
  if (kind === 't') return { kind: 'truncate', ...common, lsn: BigInt(position!) };
  const snapshot = step === 'incremental-snapshot' ? 'incremental' : 'initial';
  return {
    kind: 'row',
    op: kind,
    ...common,
    lsn: position === undefined ? null : BigInt(position),
    snapshot: kind === 'r' ? snapshot : null,
    row: imageOf(value, kind),
  };
}

/** The row in a value, whatever is around it. */
function imageOf(value: any, kind: string): unknown {
  let data = value;
  for (const inner of ['payload', 'data', 'payload']) {
    if (inner in data && !('sensor_type' in data)) data = data[inner];
  }
  const image = 'after' in data ? data[kind === 'd' ? 'before' : 'after'] : data;
  const placeholders = ['__debezium_unavailable_value', 'X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=='];
  return placeholders.includes(image.data) ? { ...image, data: UNAVAILABLE } : image;
}
