import { NotJson, parse, parseExact, textOf } from '../../lib/exact-json.ts';
import { eventStream, topicStream } from '../../definitions/streams.ts';
import type { EventChange, EventData, RecordPosition } from '../../state/change.ts';
import { whyNotJson } from '../diagnosis.ts';
import { isJsonType, KAFKA_EVENT } from './attributes.ts';
import { exactData } from './cloudevent.ts';
import type { CloudEvent } from './incoming.ts';

/** A topic and a position in it. */
interface RecordName extends RecordPosition {
  readonly topic: string;
}

/** Turns a CloudEvent into what parts that name its type read. */
export function toEventChange(event: CloudEvent): EventChange {
  return {
    kind: 'event',
    stream: eventStream((event.decoded ?? event.attributes)['type']!),
    position: null,
    attributes: event.decoded ?? event.attributes,
    data: dataReader(event),
    at: timeOf(event),
    origin: event,
  };
}

/**
 * Turns a record that is not a CloudEvent into what parts that name its topic read; null if it is not a record of
 * one of these topics.
 */
export function toRecordChange(event: CloudEvent, topics: ReadonlySet<string>): EventChange | null {
  if (topics.size === 0 || event.type !== KAFKA_EVENT) return null;
  const name = recordName(event);
  if (name === null || !topics.has(name.topic)) return null;
  const { topic, partition, offset } = name;
  return {
    kind: 'event',
    stream: topicStream(topic),
    position: { partition, offset },
    attributes: {},
    data: dataReader(event),
    at: timeOf(event),
    origin: event,
  };
}

/**
 * A KafkaSource names the topic at the end of `source`, partition and offset in `id` and, since 1.13, in extensions.
 * Of a record that went through a topic of dead letters, the extensions are those of the dead letter.
 */
function recordName({ attributes }: CloudEvent): RecordName | null {
  const { source = '', id = '', kafkatopic = '' } = attributes;
  const hash = source.lastIndexOf('#');
  const topic = hash === -1 ? kafkatopic : source.slice(hash + 1);
  const [, ofIdPartition, ofIdOffset] = /^partition:(\d+)\/offset:(\d+)$/.exec(id) ?? [];
  const partition = ofIdPartition ?? attributes['knativekafkapartition'];
  const offset = ofIdOffset ?? attributes['knativekafkaoffset'];
  return topic === '' || partition === undefined || offset === undefined
    ? null
    : { topic, partition, offset };
}

function timeOf({ attributes }: CloudEvent): number {
  const time = Date.parse(attributes['time'] ?? '');
  return Number.isNaN(time) ? Date.now() : time;
}

/** Returns a function that parses the data, at most once without and once with exact numbers. */
function dataReader(event: CloudEvent): (exact: boolean) => EventData {
  let quick: EventData | undefined;
  let exact: EventData | undefined;
  return (isExact) =>
    isExact ? (exact ??= readData(event, true)) : (quick ??= readData(event, false));
}

function readData(event: CloudEvent, exact: boolean): EventData {
  const { data, isExact, dataProblem, contentType, body } = event;
  if (dataProblem !== undefined) return { problem: dataProblem };
  try {
    if (data !== undefined) return { json: exact && !isExact ? exactData(event) : data };
    if (body.length === 0) return { json: undefined };
    if (contentType !== null && !isJsonType(contentType) && event.type !== KAFKA_EVENT) {
      return { problem: `the data is ${contentType}, not JSON` };
    }
    const text = textOf(body);
    const json = parse(text);
    return { json: exact ? parseExact(text) : json };
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    return { problem: whyNotJson('the data', error, body) };
  }
}
