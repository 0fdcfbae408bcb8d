import { expect, test } from 'vitest';
import { readCloudEvents } from '../../src/intake/cloudevent.ts';
import { bytes } from './messages.ts';

/** As KafkaSource's own headers. */
const sent = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' };
const structured = { 'content-type': 'application/cloudevents+json; charset=UTF-8' };
const event = { specversion: '1.0', id: '1', source: '/s', type: 't' };

test('a structured event is read with its data exact', () => {
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
  expect(JSON.stringify(incoming.kind === 'event' && incoming.event.data)).toBe(
    '{"id":9007199254740993}',
  );
});

test('data_base64 is read as the bytes it stands for', () => {
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
  ['200,000 levels', '['.repeat(200_000) + ']'.repeat(200_000), 'the body is nested too deep'],
  ['an array', [event], 'the event is not a JSON object'],
  ['no id', { ...event, id: undefined }, 'attribute id is missing'],
  ['id null', { ...event, id: null }, 'attribute id is missing'],
  ['another version', { ...event, specversion: '0.3' }, 'attribute specversion is not 1.0'],
  ['a bad time', { ...event, time: 'nope' }, 'attribute time is not in RFC 3339'],
  [
    'an object as attribute',
    { ...event, ext: {} },
    'attribute "ext" is neither text, number nor boolean',
  ],
  ['an upper-case name', { ...event, Ext: 'x' }, '"Ext" is no name for an attribute'],
  [
    'a control character in an attribute',
    { ...event, subject: 'a\0' },
    'attribute "subject" is no text',
  ],
  ['data twice', { ...event, data: 1, data_base64: 'AA==' }, 'data and data_base64 are both there'],
];

test.for(badlyStructured)('a structured event with %s is no CloudEvent', ([, body, why]) => {
  expect(readCloudEvents(structured, bytes(body))).toEqual({ kind: 'none', why });
});

test('the event formats of the spec beside JSON are not read', () => {
  const headers = { 'content-type': 'application/cloudevents+avro' };
  expect(readCloudEvents(headers, Buffer.alloc(1))).toEqual({
    kind: 'none',
    why: 'content type application/cloudevents+avro is not application/cloudevents+json',
  });
});

test('a batch is read element by element', () => {
  const headers = { 'content-type': 'application/cloudevents-batch+json' };
  const contentType = 'application/cloudevents+json';
  const bad = { ...event, id: '' };
  expect(readCloudEvents(headers, bytes([{ ...event, data: { a: 1 } }, bad, 7]))).toEqual({
    kind: 'batch',
    elements: [
      {
        type: 't',
        attributes: event,
        contentType,
        body: bytes({ ...event, data: { a: 1 } }),
        data: { a: 1 },
      },
      { origin: { attributes: {}, contentType, body: bytes(bad) }, why: 'attribute id is empty' },
      {
        origin: { attributes: {}, contentType, body: bytes(7) },
        why: 'the event is not a JSON object',
      },
    ],
  });
  expect(readCloudEvents(headers, bytes([]))).toEqual({ kind: 'batch', elements: [] });
  expect(readCloudEvents(headers, bytes({}))).toEqual({
    kind: 'none',
    why: 'the body of a batch is not an array',
  });
});
