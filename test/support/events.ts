import { toEventChange, toRecordChange } from '../../src/intake/cloudevents/event-change.ts';
import type { EventChange } from '../../src/state/change.ts';

let n = 0;

/** An event with JSON data, read as one that arrives in binary mode. A text as data is sent as it is. */
export function event(
  type: string,
  data: unknown,
  more: Readonly<Record<string, string>> = {},
): EventChange {
  const { contenttype = 'application/json', ...extensions } = more;
  const attributes = { specversion: '1.0', id: `e${++n}`, source: '/shop', type, ...extensions };
  const body = Buffer.from(typeof data === 'string' ? data : (JSON.stringify(data) ?? ''));
  return toEventChange({ type, attributes, contentType: contenttype, body, data: undefined });
}

/** A record of a topic, as a KafkaSource sends it. */
export function record(topic: string, offset: number, value: unknown): EventChange {
  const type = 'dev.knative.kafka.event';
  const attributes = {
    specversion: '1.0',
    id: `partition:0/offset:${offset}`,
    source: `/apis/v1/namespaces/shop/kafkasources/all#${topic}`,
    type,
    knativekafkapartition: '0',
    knativekafkaoffset: String(offset),
  };
  const body = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  return toRecordChange(
    { type, attributes, contentType: null, body, data: undefined },
    new Set([topic]),
  )!;
}
