import { printTime } from './java.ts';
import { isStructured, parseStructured } from './structured.ts';

/** A record in Kafka. */
export interface KafkaRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  /** Epoch milliseconds. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [name: string, value: Buffer])[];
}

/** A CloudEvent to send to a sink; `data` null means no data, not even empty data. */
export interface SourceEvent {
  /** The attributes of the specification, including `datacontenttype`. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly extensions: ReadonlyMap<string, string>;
  readonly data: Buffer | null;
}

/** The settings in a KafkaSource's manifest that determine its events. */
export interface EventOptions {
  /** `metadata.namespace` and `metadata.name` */
  readonly namespace: string;
  readonly name: string;
  /** Label `kafkasources.sources.knative.dev/key-type`; string by default. */
  readonly keyType?: 'string' | 'int' | 'float' | 'byte-array';
  /** `spec.ceOverrides.extensions` */
  readonly extensions?: Readonly<Record<string, string>>;
}

/** The attributes of the specification, in the order in which they are sent. */
export const ATTRIBUTES = [
  'specversion',
  'id',
  'source',
  'type',
  'datacontenttype',
  'dataschema',
  'subject',
  'time',
];
const REQUIRED = ATTRIBUTES.slice(0, 4);

/** Thrown, and caught in this file, for a record that claims to be a CloudEvent but isn't one. */
class NoEvent extends Error {}

/**
 * Converts a record to the event that a KafkaSource sends: a CloudEvent in Kafka's binary or structured
 * mode keeps its attributes, every other record becomes a `dev.knative.kafka.event`.
 */
export function toEvent(record: KafkaRecord, options: EventOptions): SourceEvent {
  const event = readCloudEvent(record) ?? wrap(record, options);
  const extensions = new Map(event.extensions);
  extensions.set('knativekafkapartition', String(record.partition));
  extensions.set('knativekafkaoffset', record.offset);
  for (const [name, value] of Object.entries(options.extensions ?? {})) extensions.set(name, value);
  return { ...event, extensions };
}

function readCloudEvent(record: KafkaRecord): SourceEvent | null {
  try {
    const contentType = last(record, 'content-type');
    if (contentType !== undefined && isStructured(contentType)) return structured(record);
    return last(record, 'ce_specversion') === undefined ? null : binary(record);
  } catch (error) {
    if (error instanceof NoEvent || error instanceof SyntaxError) return null;
    throw error;
  }
}

function binary(record: KafkaRecord): SourceEvent {
  const given = new Map<string, string>();
  for (const [name, value] of record.headers) {
    if (name.startsWith('ce_')) given.set(name.slice(3), value.toString());
    if (name === 'content-type') given.set('datacontenttype', value.toString());
  }
  return sorted(given, record.value);
}

function structured({ value }: KafkaRecord): SourceEvent {
  const { attributes, data } = parseStructured(value?.toString() ?? '');
  return sorted(attributes, data);
}

/** Separates attributes and extensions; throws NoEvent for an invalid name or a missing attribute. */
function sorted(given: ReadonlyMap<string, string>, data: Buffer | null): SourceEvent {
  const attributes = new Map<string, string>();
  const extensions = new Map<string, string>();
  for (const [name, value] of given) {
    if (!/^[a-z0-9]+$/.test(name)) throw new NoEvent(`${name} is not a valid attribute name`);
    if (!ATTRIBUTES.includes(name)) extensions.set(name, value);
    else attributes.set(name, name === 'time' ? printTime(value) : value);
  }
  const missing = REQUIRED.find((name) => !attributes.has(name));
  if (missing !== undefined) throw new NoEvent(`${missing} is missing`);
  return { attributes, extensions, data };
}

function wrap(record: KafkaRecord, options: EventOptions): SourceEvent {
  const { topic, partition, offset, timestamp, value } = record;
  const { namespace, name } = options;
  const contentType = last(record, 'content-type')?.toLowerCase();
  const attributes = new Map([
    ['specversion', '1.0'],
    ['id', `partition:${partition}/offset:${offset}`],
    ['source', `/apis/v1/namespaces/${namespace}/kafkasources/${name}#${topic}`],
    ['type', 'dev.knative.kafka.event'],
    ...(contentType === undefined ? [] : [['datacontenttype', contentType] as const]),
    ['subject', `partition:${partition}#${offset}`],
    ['time', printTime(new Date(timestamp).toISOString())],
  ]);
  const extensions = new Map<string, string>();
  const key = readKey(record.key, options.keyType ?? 'string');
  if (key !== null) extensions.set('key', key).set('partitionkey', key);
  for (const [header, text] of record.headers) {
    if (header === 'content-type') continue;
    extensions.set(
      `kafkaheader${header.toLowerCase().replaceAll(/[^a-z0-9]/g, '')}`,
      text.toString(),
    );
  }
  return { attributes, extensions, data: value };
}

function readKey(key: Buffer | null, type: NonNullable<EventOptions['keyType']>): string | null {
  if (key === null || key.length === 0) return null;
  if (type === 'byte-array') return key.toString('base64');
  if (type === 'int' && key.length === 4) return String(key.readInt32BE());
  if (type === 'float' && key.length === 4) return String(key.readFloatBE());
  if (type === 'float' && key.length === 8) return String(key.readDoubleBE());
  return key.toString();
}

function last({ headers }: KafkaRecord, name: string): string | undefined {
  return headers.findLast(([each]) => each === name)?.[1].toString();
}
