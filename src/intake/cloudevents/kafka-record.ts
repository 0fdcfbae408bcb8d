import { KAFKA_EVENT, type Attributes } from './attributes.ts';
import { readEvents } from './cloudevent.ts';
import type { Incoming } from './incoming.ts';

/** A record of a topic, with the last value of each of its headers. */
export interface SourceRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number | string;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, Buffer>>;
}

/** What a record holds; one that is not a CloudEvent is parked, because there is no sender to refuse it to. */
export type RecordContent = Exclude<Incoming, { readonly kind: 'none' }>;

const EMPTY = Buffer.alloc(0);

/** Reads the CloudEvents of a Kafka record (Kafka protocol binding 1.0.2) as if a KafkaSource had sent it. */
export function readRecord(record: SourceRecord): RecordContent {
  const { attributes, contentType } = attributesOf(record);
  attributes['kafkatopic'] = record.topic;
  const origin = { attributes, contentType, body: record.value ?? EMPTY };
  const incoming = readEvents(origin);
  return incoming.kind === 'none'
    ? { kind: 'bad', element: { origin, why: incoming.why } }
    : incoming;
}

/**
 * Returns what a KafkaSource would send in headers for a record: a record without `ce_` headers is a
 * `dev.knative.kafka.event` named by topic, partition and offset, also if its content type is that of structured
 * mode and its value is not an event.
 */
export function attributesOf({ topic, partition, offset, headers }: Omit<SourceRecord, 'value'>): {
  attributes: Attributes;
  contentType: string | null;
} {
  const attributes: Attributes = {};
  let contentType: string | null = null;
  for (const name in headers) {
    if (name.startsWith('ce_')) attributes[name.slice(3)] = String(headers[name]);
    else if (name.toLowerCase() === 'content-type') contentType = String(headers[name]);
  }
  if (attributes['specversion'] === undefined) {
    attributes['specversion'] = '1.0';
    attributes['id'] = `partition:${partition}/offset:${offset}`;
    attributes['source'] = `/kafka#${topic}`;
    attributes['type'] = KAFKA_EVENT;
  }
  attributes['knativekafkapartition'] = String(partition);
  attributes['knativekafkaoffset'] = String(offset);
  return { attributes, contentType };
}
