import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { readCloudEvents } from '../../src/intake/cloudevents/cloudevent.ts';
import { readChange } from '../../src/intake/debezium/read-change.ts';
import { bytes, insert, kafkaEvent } from './messages.ts';

const json = JSON.stringify(insert);
const registry = (schema: number, rest: Buffer) =>
  Buffer.concat([Buffer.of(0, 0, 0, 0, schema), rest]);
const fromRegistry =
  'it looks like Avro, Protobuf or JSON Schema of a schema registry (schema 7): set SCHEMA_REGISTRY_URL to the registry, or value.converter=org.apache.kafka.connect.json.JsonConverter in the connector';
const utf16 = 'it looks like UTF-16: send it in UTF-8';

const unread: [what: string, body: unknown, detail: RegExp][] = [
  ['Avro of a schema registry', registry(7, Buffer.of(2, 12, 0x6d)), words(fromRegistry)],
  ['Avro that is no text', registry(7, Buffer.of(0xff, 0xfe, 0xfd)), words(fromRegistry)],
  ['JSON Schema of a schema registry', registry(7, Buffer.from(json)), words(fromRegistry)],
  ['gzip', gzipSync(json), /it is compressed \(gzip\): send the JSON itself/],
  ['deflate', deflateSync(json), /it is compressed \(deflate\): send the JSON itself/],
  [
    'Avro with an id of 8 bytes',
    registry(0, Buffer.of(0, 0, 0, 7, 2, 12)),
    /schema registry \(schema with an id of 8 bytes\): set SCHEMA_REGISTRY_URL/,
  ],
  ['Avro of a large id', Buffer.of(0, 2, 0, 0x36, 0x35, 2), /\(schema 33568309\)/],
  [
    'an array of changes',
    [insert, insert],
    /^the body is an array: send each of its changes as an event of its own, or all as CloudEvents/,
  ],
  ['an array of numbers', [1], /^the body is an array, not an object$/],
  ['zstd', zstdCompressSync(json), /it is compressed \(zstd\): send the JSON itself/],
  ['UTF-16 with a mark', Buffer.from(`\ufeff${json}`, 'utf16le'), words(utf16)],
  ['UTF-16', Buffer.from(json, 'utf16le'), words(utf16)],
  ['UTF-16, the other way round', Buffer.from(json, 'utf16le').swap16(), words(utf16)],
  [
    'what StringConverter writes',
    'Struct{before=,after=Struct{id=1}}',
    /what StringConverter writes: set value.converter=/,
  ],
  [
    'a batch',
    [{ specversion: '1.0', id: '1' }],
    /a batch of CloudEvents: its content type is application\/cloudevents-batch\+json$/,
  ],
  [
    'JSON inside a string',
    JSON.stringify(json),
    /^the body is JSON inside a string: send the JSON itself/,
  ],
];

test.for(unread)(
  'a body that is %s is named so, with a hint what to change',
  ([, body, detail]) => {
    expect(readChange(kafkaEvent(body))).toEqual({
      kind: 'invalid',
      reason: 'not-a-change',
      detail: expect.stringMatching(detail),
    });
  },
);

test('an array of CloudEvents with the content type of a single one gets a hint', () => {
  const events = [{ specversion: '1.0', id: '1', source: '/s', type: 't' }];
  expect(
    readCloudEvents({ 'content-type': 'application/cloudevents+json' }, bytes(events)),
  ).toEqual({
    kind: 'none',
    why: 'the event is an array, not a JSON object: the content type of a batch is application/cloudevents-batch+json',
  });
});

test.for(['application/cloudevents+json', 'application/cloudevents-batch+json'])(
  'a compressed body of %s is named so',
  (contentType) => {
    expect(readCloudEvents({ 'content-type': contentType }, gzipSync('{}'))).toEqual({
      kind: 'none',
      why: expect.stringMatching(/it is compressed \(gzip\)/),
    });
  },
);

test('a body whose schema is named in a header gets a hint', () => {
  const event = kafkaEvent(Buffer.of(2, 12, 0x6d));
  const attributes = { ...event.attributes, kafkaheaderapicuriovalueglobalid: '7' };
  expect(readChange({ ...event, attributes })).toMatchObject({
    detail: expect.stringMatching(/headers\.enabled=false$/),
  });
});

test('a byte order mark before the JSON is ignored', () => {
  expect(readChange(kafkaEvent(`\ufeff${json}`))).toMatchObject({ op: 'c' });
});

function words(text: string): RegExp {
  return new RegExp(text.replaceAll(/[().]/g, String.raw`\$&`));
}
