import { expect, test } from 'vitest';
import { readBatch } from '../../../src/intake/cloudevents/batch.ts';
import { exactData, readCloudEvents } from '../../../src/intake/cloudevents/cloudevent.ts';
import { readChange } from '../../../src/intake/debezium/read-change.ts';
import { bytes, insert } from '../messages.ts';

/** As KafkaSource's own headers. */
const sent = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' };
const structured = { 'content-type': 'application/cloudevents+json; charset=UTF-8' };
const event = { specversion: '1.0', id: '1', source: '/s', type: 't' };

test('a structured event is read, and its data again without loss', () => {
  const body = Buffer.from(
    '{"specversion":"1.0","id":"1","source":"/s","type":"t","num":7,"flag":true,"none":null,"data":{"id":9007199254740993}}',
  );
  const incoming = readCloudEvents(structured, body);
  expect(incoming).toEqual({
    kind: 'event',
    event: {
      type: 't',
      attributes: { ...event, num: '7', flag: 'true' },
      contentType: structured['content-type'],
      body,
      data: expect.anything(),
    },
  });
  expect(JSON.stringify(incoming.kind === 'event' && exactData(incoming.event))).toBe(
    '{"id":9007199254740993}',
  );
});

test('data_base64 is decoded', () => {
  const body = bytes({
    ...event,
    datacontenttype: 'application/json',
    data_base64: 'eyJhIjoxfQ==',
  });
  expect(readCloudEvents(structured, body)).toMatchObject({
    event: { body: Buffer.from('{"a":1}'), contentType: 'application/json', data: undefined },
  });
});

test('a structured event that KafkaSource sent on keeps what the transport added', () => {
  const headers = { ...structured, ...sent, 'ce-knativekafkapartition': '3' };
  expect(readCloudEvents(headers, bytes({ ...event, type: 'inner' }))).toMatchObject({
    event: { type: 'inner', attributes: { type: 'inner', knativekafkapartition: '3' } },
  });
});

test.for<[string, string]>([
  ['truncated', '{"specversion":"1.0","id":'],
  ['empty', ''],
  ['no event', '{"a":1}'],
])('a structured body that is %s is the data of the event around it', ([, body]) => {
  const incoming = readCloudEvents({ ...structured, ...sent }, Buffer.from(body));
  expect(incoming).toMatchObject({
    event: { type: 't', body: Buffer.from(body), data: undefined },
  });
});

const badlyStructured: [what: string, body: unknown, why: string][] = [
  ['truncated JSON', '{"specversion":"1.0","id":', 'the body is not JSON'],
  ['an empty body', '', 'the body is not JSON'],
  ['invalid UTF-8', Buffer.from([0xff]), 'the body is not text in UTF-8'],
  [
    'an array in its place',
    [event],
    'the event is an array, not a JSON object: the content type of a batch is application/cloudevents-batch+json',
  ],
  ['no id', { ...event, id: undefined }, 'attribute id is missing'],
  ['id null', { ...event, id: null }, 'attribute id is missing'],
  ['another version', { ...event, specversion: '0.3' }, 'attribute specversion is not 1.0'],
  ['a bad time', { ...event, time: 'nope' }, 'attribute time is not in RFC 3339'],
  [
    'an object as attribute',
    { ...event, ext: {} },
    'attribute "ext" is neither text, number nor boolean',
  ],
  ['an upper-case name', { ...event, Ext: 'x' }, '"Ext" is not a valid attribute name'],
  [
    'a control character in an attribute',
    { ...event, subject: 'a\0' },
    'attribute "subject" has invalid characters',
  ],
  [
    'a number beyond 2^53 as attribute',
    '{"specversion":"1.0","id":"1","source":"/s","type":"t","lsn":9007199254740993}',
    'attribute "lsn" is a number beyond 2^53: send it as a string',
  ],
  [
    'an attribute named __proto__',
    '{"specversion":"1.0","id":"1","source":"/s","type":"t","__proto__":"x"}',
    '"__proto__" is not a valid attribute name',
  ],
];

test.for(badlyStructured)('a structured event with %s is not a CloudEvent', ([, body, why]) => {
  expect(readCloudEvents(structured, bytes(body))).toEqual({ kind: 'none', why });
});

test('event formats other than JSON are not supported', () => {
  const headers = { 'content-type': 'application/cloudevents+avro' };
  expect(readCloudEvents(headers, Buffer.alloc(1))).toEqual({
    kind: 'none',
    why: 'content type application/cloudevents+avro is not application/cloudevents+json',
  });
});

const change = { ...event, type: 'dev.knative.kafka.event' };

test.for<[what: string, more: object, why: string]>([
  ['stars', { data_base64: '***' }, 'data_base64 is not base64 (RFC 4648, padded with =)'],
  ['a lone pad', { data_base64: '=' }, 'data_base64 is not base64 (RFC 4648, padded with =)'],
  ['spaces', { data_base64: '  ' }, 'data_base64 is not base64 (RFC 4648, padded with =)'],
  ['an emoji', { data_base64: '🙂' }, 'data_base64 is not base64 (RFC 4648, padded with =)'],
  [
    'no padding',
    { data_base64: 'eyJhIjoxfQ' },
    'data_base64 is not base64 (RFC 4648, padded with =)',
  ],
  ['a number', { data_base64: 7 }, 'data_base64 is not a string'],
  ['data beside it', { data_base64: 'AA==', data: 1 }, 'data and data_base64 are both present'],
])('data_base64 that is %s parks the event, and is not a tombstone', async ([, more, why]) => {
  const body = bytes({ ...change, ...more });
  const contentType = 'application/cloudevents+json';
  const element = { origin: { attributes: change, contentType, body }, why };
  expect(readCloudEvents({ 'content-type': contentType }, body)).toEqual({
    kind: 'bad',
    element,
  });
  const batch = Buffer.concat([Buffer.from('['), body, Buffer.from(']')]);
  const headers = { 'content-type': 'application/cloudevents-batch+json' };
  expect(await elementsOf(headers, batch)).toEqual([element]);
});

test('empty data_base64 is a tombstone', () => {
  const incoming = readCloudEvents(structured, bytes({ ...change, data_base64: '' }));
  expect(incoming.kind === 'event' && readChange(incoming.event)).toEqual({
    kind: 'ignored',
    why: 'tombstone',
  });
});

test('string data is the body if its type is not JSON', () => {
  const text = JSON.stringify(insert);
  const body = bytes({ ...change, datacontenttype: 'text/plain', data: text });
  const incoming = readCloudEvents(structured, body);
  expect(incoming).toMatchObject({
    event: { body: Buffer.from(text), contentType: 'text/plain', data: undefined },
  });
  expect(incoming.kind === 'event' && readChange(incoming.event)).toMatchObject({ op: 'c' });
});

test.for([undefined, 'application/json', 'application/vnd.x+json; charset=utf-8'])(
  'data that is JSON inside a string is named so if its type is %s',
  (datacontenttype) => {
    const body = bytes({ ...change, datacontenttype, data: JSON.stringify(insert) });
    const incoming = readCloudEvents(structured, body);
    expect(incoming.kind === 'event' && readChange(incoming.event)).toEqual({
      kind: 'invalid',
      reason: 'not-a-change',
      detail: 'the body is JSON inside a string: send the JSON itself, not encoded a second time',
    });
  },
);

test('data that nests 100,000 deep is parked in structured mode as in binary mode', () => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000);
  const data = JSON.stringify(insert).replace('"PLACED"', deep);
  const binary = { ...sent, 'ce-type': change.type };
  for (const [headers, body] of [
    [binary, data],
    [structured, JSON.stringify({ ...change, data: 'DATA' }).replace('"DATA"', () => data)],
  ] as const) {
    const incoming = readCloudEvents(headers, Buffer.from(body));
    expect(incoming.kind === 'event' && readChange(incoming.event)).toEqual({
      kind: 'invalid',
      reason: 'bad-value',
      detail: 'column "state" nests deeper than 64 levels',
    });
  }
});

test.for<[what: string, data: string]>([
  ['objects', `[${'{},'.repeat(250_000)}{}]`],
  ['levels', '['.repeat(250_001) + ']'.repeat(250_001)],
  ['values', `[${'1,'.repeat(2_000_001)}1]`],
])('data of too many %s to be read is parked in both modes, for every type', ([, data]) => {
  const body = JSON.stringify({ ...event, data: 'DATA' }).replace('"DATA"', () => data);
  const why = expect.stringMatching(
    /^the body is JSON of more than \d+ (objects and arrays|values)$/,
  );
  expect(readCloudEvents(structured, Buffer.from(body))).toMatchObject({
    kind: 'bad',
    element: { why },
  });
  const binary = readCloudEvents({ ...sent, 'ce-type': change.type }, Buffer.from(data));
  expect(binary.kind === 'event' && readChange(binary.event)).toMatchObject({ detail: why });
});

test('an unreadable event whose type carries changes is parked, not refused', () => {
  expect(
    readCloudEvents(structured, bytes({ ...change, time: '2018-02-30T00:00:00Z' })),
  ).toMatchObject({ kind: 'bad', element: { why: 'attribute time is not in RFC 3339' } });
});

test('a batch is read element by element', async () => {
  const headers = { 'content-type': 'application/cloudevents-batch+json' };
  const contentType = 'application/cloudevents+json';
  const bad = { ...event, id: '' };
  expect(await elementsOf(headers, bytes([{ ...event, data: { a: 1 } }, bad, 7]))).toEqual([
    {
      type: 't',
      attributes: event,
      contentType,
      body: bytes({ ...event, data: { a: 1 } }),
      data: { a: 1 },
    },
    { origin: { attributes: bad, contentType, body: bytes(bad) }, why: 'attribute id is empty' },
    {
      origin: { attributes: {}, contentType, body: bytes(7) },
      why: 'the event is not a JSON object',
    },
  ]);
  expect(await elementsOf(headers, bytes([]))).toEqual([]);
});

test('an element of a batch that is not JSON does not affect the others', async () => {
  const headers = { 'content-type': 'application/cloudevents-batch+json' };
  const good = JSON.stringify({ ...event, data: 'a]}",\\' });
  const elements = await elementsOf(
    headers,
    Buffer.from(`\ufeff [ ${good} ,{"a":1"b"}, ${good}, ] \n`),
  );
  expect((elements as object[]).map((each) => ('why' in each ? each.why : 'read'))).toEqual([
    'read',
    'the body is not JSON at position 6',
    'read',
    'the body is not JSON',
  ]);
});

test.for(['{}', '', '[', '[1', '[1}', '[1]]', '[1] x', '["', 'null', 'ÿ'])(
  'a batch that is %j is not a CloudEvent',
  (text) => {
    const headers = { 'content-type': 'application/cloudevents-batch+json' };
    expect(readCloudEvents(headers, Buffer.from(text, 'latin1'))).toEqual({
      kind: 'none',
      why: 'the body of a batch is not a JSON array',
    });
  },
);

async function elementsOf(headers: Record<string, string>, body: Uint8Array): Promise<unknown> {
  const incoming = readCloudEvents(headers, body);
  return incoming.kind === 'batch' ? readBatch(incoming.batch) : incoming;
}
