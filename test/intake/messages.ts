import type { CloudEvent } from '../../src/intake/cloudevents/incoming.ts';

/** What `source` of an envelope holds, as far as it is read. */
export const source = {
  connector: 'postgresql',
  name: 'shop',
  schema: 'public',
  table: 'orders',
  lsn: 24023128,
  ts_ms: 1767323045000,
  snapshot: 'false',
};

/** An insert in Debezium's envelope. */
export const insert = {
  before: null,
  after: { id: 42, state: 'PLACED' },
  source,
  op: 'c',
  ts_ms: 1767323045123,
};

/** An update by ExtractNewRecordState with `add.fields`. */
export const flattened = {
  id: 42,
  state: 'PLACED',
  __op: 'u',
  __table: 'orders',
  __schema: 'public',
  __name: 'shop',
  __lsn: 24023128,
  __source_ts_ms: 1767323045000,
};

/** As KafkaSource sends a record with this value. */
export function kafkaEvent(value: unknown): CloudEvent {
  const attributes = {
    specversion: '1.0',
    type: 'dev.knative.kafka.event',
    id: 'partition:0/offset:4',
    source: '/apis/v1/namespaces/shop/kafkasources/orders-source#shop.public.orders',
  };
  const body = bytes(value);
  return { type: attributes.type, attributes, contentType: null, body, data: undefined };
}

/** Text and bytes as they are, anything else as JSON. */
export function bytes(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value;
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
}
