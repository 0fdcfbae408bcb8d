import { expect, test } from 'vitest';
import { readCloudEvents } from '../../../src/intake/cloudevents/cloudevent.ts';
import { readChange } from '../../../src/intake/debezium/read-change.ts';
import { flattened, insert, kafkaEvent } from '../messages.ts';

/** Columns of a row that are named like what stands around a row elsewhere. */
const rows: [what: string, columns: object][] = [
  ['an audit table', { op: 'INSERT', before: null, after: '{}' }],
  ['an audit table with its source', { op: 'U', source: 'app', ts_ms: 5 }],
  ['a table of transactions', { status: 'BEGIN', id: 'x', data_collections: null }],
  ['a table of schemas', { schema: 'public', payload: '{}' }],
  ['an outbox of CloudEvents', { specversion: '1.0', type: 'order.placed', data: '{}' }],
  ['a table of times', { ts_ms: 1, ts_us: 2 }],
];

const schemas: (typeof rows)[number] = [
  'a table of schemas in hstore',
  { schema: { a: '1' }, payload: null },
];

test.for([...rows, schemas])(
  'a flattened row of %s is a row, whatever the names of its columns',
  ([, columns]) => {
    const row = { ...flattened, ...columns };
    expect(readChange(kafkaEvent(row))).toMatchObject({ kind: 'row', op: 'u', row });
  },
);

const metadata = {
  specversion: '1.0',
  id: '1',
  source: '/debezium/postgresql/shop',
  type: 'io.debezium.connector.postgresql.DataChangeEvent',
  iodebeziumop: 'c',
  iodebeziumconnector: 'postgresql',
  iodebeziumname: 'shop',
  iodebeziumschema: 'public',
  iodebeziumtable: 'orders',
  iodebeziumlsn: '24023128',
  iodebeziumtsms: '1767323045000',
};
const beforeAndAfter: (typeof rows)[number] = [
  'a table of two columns',
  { before: 'yesterday', after: 'today' },
];

test.for([...rows, beforeAndAfter])(
  'a bare row of %s in a CloudEvent of Debezium is a row, whatever the names of its columns',
  ([, columns]) => {
    const row = { ...columns };
    const structured = { 'content-type': 'application/cloudevents+json' };
    const incoming = readCloudEvents(
      structured,
      Buffer.from(JSON.stringify({ ...metadata, data: row })),
    );
    expect(incoming.kind === 'event' && readChange(incoming.event)).toMatchObject({ op: 'c', row });
    const nested = kafkaEvent({ ...metadata, data: row });
    expect(readChange(nested)).toMatchObject({ op: 'c', row });
  },
);

test('a flattened row of an audit table without added fields is parked with what it lacks', () => {
  const row = { id: 1, op: 'INSERT', before: null, __deleted: 'false' };
  expect(readChange(kafkaEvent(row))).toMatchObject({
    reason: 'incomplete-change',
    detail: expect.stringMatching(/^__op is missing: ExtractNewRecordState needs add.fields=/),
  });
});

test('events may be nested in the body', () => {
  const inner = { specversion: '1.0', type: 'dev.knative.kafka.event' };
  const twice = { ...inner, data: { ...inner, data: flattened } };
  expect(readChange(kafkaEvent(twice))).toMatchObject({ op: 'u', stream: 'public.orders' });
});

test('a schema beside its payload is removed, even with other fields', () => {
  const wrapped = { schema: { type: 'struct' }, payload: insert, schemaId: 7 };
  expect(readChange(kafkaEvent(wrapped))).toMatchObject({ op: 'c', stream: 'public.orders' });
});

test('a KafkaSource event of its own type in the body is read like the event itself', () => {
  const inner = { specversion: '1.0', type: 'dev.knative.kafka.event' };
  const encoded = Buffer.from(
    JSON.stringify({ ...flattened, n: 1 }).replace('"n":1', '"n":9007199254740993'),
  );
  for (const nested of [
    { ...inner, data: flattened },
    { ...inner, data_base64: encoded.toString('base64') },
  ]) {
    expect(readChange(kafkaEvent(nested))).toMatchObject({ op: 'u', stream: 'public.orders' });
  }
  const reading = readChange(kafkaEvent({ ...inner, data_base64: encoded.toString('base64') }));
  expect(JSON.stringify(reading.kind === 'row' && reading.row['n'])).toBe('9007199254740993');
  expect(readChange(kafkaEvent({ ...inner, data_base64: '***' }))).toMatchObject({
    detail: 'data_base64 of the CloudEvent in the body is not base64',
  });
});
