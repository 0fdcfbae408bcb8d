import { expect, test } from 'vitest';
import { toRequest } from '../../../src/cli/dead-letters.ts';
import { readCloudEvents } from '../../../src/intake/cloudevents/cloudevent.ts';
import { readRecord } from '../../../src/intake/cloudevents/kafka-record.ts';
import type { Incoming } from '../../../src/intake/cloudevents/incoming.ts';
import { debeziumMessages } from '../fixtures.ts';
import { insert } from '../messages.ts';

const STRUCTURED = 'application/cloudevents+json';
const CHANGE = { specversion: '1.0', id: '1', source: '/x', type: 'dev.knative.kafka.event' };

type Headers = Record<string, string>;

function fromKafka(value: Buffer | null, headers: Headers): Incoming {
  const bytes = Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)] as const);
  return readRecord({
    topic: 'items',
    partition: 3,
    offset: 41,
    value,
    headers: Object.fromEntries(bytes),
  });
}

/** The request that a KafkaSource makes of the same record. */
function fromRequest(value: Buffer | null, sent: Headers): Incoming {
  const message = { offset: '41', key: null, value, headers: sent, timestamp: '0', attributes: 0 };
  const { headers, body } = toRequest({ topic: 'items', partition: 3, message });
  return readCloudEvents({ ...headers, 'ce-kafkatopic': 'items' }, body);
}

const binary = Object.fromEntries(
  Object.entries(CHANGE).map(([name, value]) => [`ce_${name}`, value]),
);

test.for<[what: string, value: Buffer | null, headers: Headers]>([
  ...debeziumMessages.map(({ name, body }) => [name, body, {}] as [string, Buffer, Headers]),
  ['a tombstone', null, {}],
  ['an event in binary mode', Buffer.from(JSON.stringify(insert)), binary],
  ['an event in binary mode without data', null, binary],
  ['an event with an invalid source', null, { ...binary, ce_source: 'a b', ce_type: 'x' }],
  ['a change with an invalid source', null, { ...binary, ce_source: 'a b' }],
  [
    'an event in structured mode',
    Buffer.from(JSON.stringify({ ...CHANGE, data: insert })),
    { 'Content-Type': STRUCTURED },
  ],
  [
    'a broken event in structured mode',
    Buffer.from(JSON.stringify({ ...CHANGE, id: '' })),
    { 'content-type': STRUCTURED },
  ],
  ['a tombstone with a structured content type', null, { 'content-type': STRUCTURED }],
  ['another format', Buffer.from('x'), { 'content-type': 'application/cloudevents+avro' }],
])('%s is the same event from Kafka as from a KafkaSource', ([, value, headers]) => {
  const sent = fromRequest(value, headers);
  const { why } = sent as { why?: string };
  const parked = { kind: 'bad', element: { origin: expect.anything(), why } };
  expect(fromKafka(value, headers)).toEqual(sent.kind === 'none' ? parked : sent);
});

test('a record that is not a CloudEvent is parked, because there is no sender to refuse it to', () => {
  const read = fromKafka(Buffer.from('{}'), { ce_specversion: '1.0', ce_id: '1', ce_type: 'x' });
  expect(read).toMatchObject({
    kind: 'bad',
    element: {
      why: expect.stringContaining('attribute source is missing'),
      origin: { attributes: { id: '1', kafkatopic: 'items', knativekafkaoffset: '41' } },
    },
  });
});

test('a plain record has the attributes of a KafkaSource', () => {
  expect(fromKafka(Buffer.from('{}'), { note: 'x' })).toMatchObject({
    kind: 'event',
    event: {
      contentType: null,
      attributes: {
        specversion: '1.0',
        id: 'partition:3/offset:41',
        source: '/kafka#items',
        type: 'dev.knative.kafka.event',
        knativekafkapartition: '3',
        knativekafkaoffset: '41',
        kafkatopic: 'items',
      },
    },
  });
});
