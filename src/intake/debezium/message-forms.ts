import { isObject } from '../../lib/exact-json.ts';
import { InvalidEvent, show } from '../invalid-event.ts';

/**
 * RawChange holds the fields of a change as they came, whatever form the message has. `names` are the names
 * that the fields have in that form, for messages about them.
 */
export interface RawChange {
  readonly op: unknown;
  readonly connector: unknown;
  readonly name: unknown;
  readonly schema: unknown;
  readonly table: unknown;
  readonly lsn: unknown;
  readonly at: unknown;
  readonly snapshot: unknown;
  readonly sequence: unknown;
  readonly handledAt: unknown;
  readonly before: unknown;
  readonly after: unknown;
  readonly names: Names;
}

type Names = Readonly<Record<Exclude<keyof RawChange, 'names'>, string>>;

const ENVELOPE: Names = {
  op: 'op',
  connector: 'source.connector',
  name: 'source.name',
  schema: 'source.schema',
  table: 'source.table',
  lsn: 'source.lsn',
  at: 'source.ts_ms',
  snapshot: 'source.snapshot',
  sequence: 'source.sequence',
  handledAt: 'ts_ms',
  before: 'before',
  after: 'after',
};

const CONVERTED: Names = {
  op: 'iodebeziumop',
  connector: 'iodebeziumconnector',
  name: 'iodebeziumname',
  schema: 'iodebeziumschema',
  table: 'iodebeziumtable',
  lsn: 'iodebeziumlsn',
  at: 'iodebeziumtsms',
  snapshot: 'iodebeziumsnapshot',
  sequence: 'iodebeziumsequence',
  handledAt: 'ts_ms',
  before: 'data.before',
  after: 'data.after',
};

const FLATTENED: Names = {
  op: '__op',
  connector: '__connector',
  name: '__name',
  schema: '__schema',
  table: '__table',
  lsn: '__lsn',
  at: '__source_ts_ms',
  snapshot: '__snapshot',
  sequence: '__sequence',
  handledAt: '__ts_ms',
  before: 'the row',
  after: 'the row',
};

/**
 * Debezium's connectors that are supported, by `source.connector`. Messages of other connectors look alike,
 * above all their snapshot reads, but hold no position that could be compared.
 */
const SUPPORTED: ReadonlyMap<string, string> = new Map([['postgresql', 'PostgreSQL']]);

/**
 * Parses a change in any of Debezium's three forms: an envelope, a row of CloudEventsConverter or a flattened
 * row. `attributes` are those of the CloudEvent whose data `body` is. Throws {@link InvalidEvent} if the body
 * has none of these forms, or if the change comes from an unsupported database.
 */
export function parseEnvelope(
  body: Record<string, unknown>,
  attributes: Readonly<Record<string, unknown>>,
): RawChange {
  const raw = parseForm(body, attributes);
  requireSupported(raw.connector, raw.names.connector);
  return raw;
}

function parseForm(
  body: Record<string, unknown>,
  attributes: Readonly<Record<string, unknown>>,
): RawChange {
  // A row may have columns of any name, so the fields that only a flattened row has are looked for first.
  if ('__op' in body || '__lsn' in body || '__table' in body) return fromFlattened(body);
  if (attributes['iodebeziumop'] !== undefined) return fromConverted(body, attributes);
  if ('__deleted' in body) {
    throw new InvalidEvent(
      'incomplete-change',
      '__op is missing: ExtractNewRecordState needs add.fields=op,table,lsn,schema,name,connector,snapshot,source.ts_ms',
    );
  }
  if ('op' in body && ('source' in body || 'before' in body || 'after' in body)) {
    return fromEnvelope(body);
  }
  // Such as a schema change, which only connectors of other databases send.
  if (isObject(body['source'])) requireSupported(body['source']['connector'], 'source.connector');
  if ('before' in body || 'after' in body) {
    throw new InvalidEvent(
      'incomplete-change',
      'op is missing: CloudEventsConverter needs extension.attributes.enable=true',
    );
  }
  throw new InvalidEvent(
    'not-a-change',
    'neither an envelope (op, source, before, after) nor a flattened row (__op, __table, __lsn)',
  );
}

function fromEnvelope(body: Record<string, unknown>): RawChange {
  const source = isObject(body['source']) ? body['source'] : {};
  return {
    op: body['op'],
    connector: source['connector'],
    name: source['name'],
    schema: source['schema'],
    table: source['table'],
    lsn: source['lsn'],
    at: source['ts_ms'],
    snapshot: source['snapshot'],
    sequence: source['sequence'],
    handledAt: body['ts_ms'],
    before: body['before'],
    after: body['after'],
    names: ENVELOPE,
  };
}

/**
 * Parses an event of CloudEventsConverter: its metadata are attributes, its data is `{before, after}`, or the
 * bare row if ExtractNewRecordState precedes the converter (`metadata.source=header`).
 */
function fromConverted(
  body: Record<string, unknown>,
  attributes: Readonly<Record<string, unknown>>,
): RawChange {
  const images =
    Object.keys(body).length === 2 && isImage(body['before']) && isImage(body['after']);
  return {
    op: attributes['iodebeziumop'],
    connector: attributes['iodebeziumconnector'],
    name: attributes['iodebeziumname'],
    schema: attributes['iodebeziumschema'],
    table: attributes['iodebeziumtable'],
    lsn: attributes['iodebeziumlsn'],
    at: attributes['iodebeziumtsms'],
    snapshot: attributes['iodebeziumsnapshot'],
    sequence: attributes['iodebeziumsequence'],
    handledAt: undefined,
    before: images ? body['before'] : body,
    after: images ? body['after'] : body,
    names: images ? CONVERTED : { ...CONVERTED, before: 'data', after: 'data' },
  };
}

/** Whether this is a row before or after a change, and not a column that is named `before` or `after`. */
function isImage(value: unknown): boolean {
  return value === null || isObject(value);
}

/**
 * Parses a row of ExtractNewRecordState with `add.fields`. A field of the envelope or of `source` is named
 * `__field`, one that is configured as `source.field` is named `__source_field`. `__ts_ms` is the time at
 * which the connector handled the change, not the commit time. These fields stay in the row, of which only
 * declared columns are kept.
 */
function fromFlattened(body: Record<string, unknown>): RawChange {
  return {
    op: body['__op'],
    connector: body['__connector'] ?? body['__source_connector'],
    name: body['__name'] ?? body['__source_name'],
    schema: body['__schema'] ?? body['__source_schema'],
    table: body['__table'] ?? body['__source_table'],
    lsn: body['__lsn'] ?? body['__source_lsn'],
    at: body['__source_ts_ms'],
    snapshot: body['__snapshot'] ?? body['__source_snapshot'],
    sequence: body['__sequence'] ?? body['__source_sequence'],
    handledAt: body['__ts_ms'],
    before: body,
    after: body,
    names: FLATTENED,
  };
}

/** Throws {@link InvalidEvent} for a change of another database. A message made by hand need not name a connector. */
function requireSupported(connector: unknown, name: string): void {
  if (connector === undefined || connector === null) return;
  if (typeof connector === 'string' && SUPPORTED.has(connector)) return;
  const supported = [...SUPPORTED]
    .map(([each, database]) => `${database} (connector ${each})`)
    .join(', ');
  throw new InvalidEvent(
    'unsupported-source',
    `${name} is ${show(connector)}: only changes of ${supported} are read`,
  );
}
