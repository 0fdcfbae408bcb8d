import { isObject } from '../../lib/exact-json.ts';
import { InvalidEvent } from '../invalid-event.ts';
import { logOf, type LogKind } from './databases.ts';

/**
 * RawChange holds the fields of a change as they came, whatever form the message has. `names` are the names
 * that the fields have in that form, for messages about them.
 */
export interface RawChange {
  readonly op: unknown;
  readonly connector: unknown;
  readonly name: unknown;
  /** Kind of the connector's log; null if it names no connector. */
  readonly log: LogKind | null;
  /** Of PostgreSQL. */
  readonly schema: unknown;
  /** Of MySQL and MariaDB, which have no schemas. */
  readonly db: unknown;
  readonly table: unknown;
  /** Of PostgreSQL. */
  readonly lsn: unknown;
  /** Of MySQL and MariaDB, as are `pos` and `row`. */
  readonly file: unknown;
  readonly pos: unknown;
  readonly row: unknown;
  /** Of MySQL and MariaDB. */
  readonly gtid: unknown;
  readonly at: unknown;
  readonly snapshot: unknown;
  readonly sequence: unknown;
  readonly handledAt: unknown;
  readonly before: unknown;
  readonly after: unknown;
  readonly names: Names;
}

type Names = Readonly<Record<Exclude<keyof RawChange, 'names' | 'log'>, string>>;

/** Returns names of which those of `source` are made by `of`. */
function namesOf(
  of: (field: string) => string,
  around: Pick<Names, 'op' | 'handledAt' | 'before' | 'after'>,
): Names {
  return {
    ...around,
    connector: of('connector'),
    name: of('name'),
    schema: of('schema'),
    db: of('db'),
    table: of('table'),
    lsn: of('lsn'),
    file: of('file'),
    pos: of('pos'),
    row: of('row'),
    gtid: of('gtid'),
    at: of('ts_ms'),
    snapshot: of('snapshot'),
    sequence: of('sequence'),
  };
}

const ENVELOPE = namesOf((field) => `source.${field}`, {
  op: 'op',
  handledAt: 'ts_ms',
  before: 'before',
  after: 'after',
});

const CONVERTED = namesOf((field) => `iodebezium${field.replace('_', '')}`, {
  op: 'iodebeziumop',
  handledAt: 'ts_ms',
  before: 'data.before',
  after: 'data.after',
});

const FLATTENED = namesOf((field) => (field === 'ts_ms' ? '__source_ts_ms' : `__${field}`), {
  op: '__op',
  handledAt: '__ts_ms',
  before: 'the row',
  after: 'the row',
});

/** Fields of which a flattened row has at least one. */
const ADDED = ['__op', '__lsn', '__file', '__table'];

/**
 * Parses a change in any of Debezium's three forms: an envelope, a row of CloudEventsConverter or a flattened
 * row. `attributes` are those of the CloudEvent whose data `body` is. Throws {@link InvalidEvent} if the body
 * has none of these forms, or if the change comes from an unsupported database.
 */
export function parseEnvelope(
  body: Record<string, unknown>,
  attributes: Readonly<Record<string, unknown>>,
): RawChange {
  // A row may have columns of any name, so the fields that only a flattened row has are looked for first.
  if (ADDED.some((field) => field in body)) return fromFlattened(body);
  if (attributes['iodebeziumop'] !== undefined) return fromConverted(body, attributes);
  if ('__deleted' in body) {
    throw new InvalidEvent(
      'incomplete-change',
      '__op is missing: ExtractNewRecordState needs add.fields=op,table,lsn,schema,name,connector,snapshot,source.ts_ms, for MySQL and MariaDB op,table,db,file,pos,row,name,connector,snapshot,source.ts_ms',
    );
  }
  if ('op' in body && ('source' in body || 'before' in body || 'after' in body)) {
    return fromEnvelope(body);
  }
  // Such as a schema change, which the connector for PostgreSQL does not send.
  if (isObject(body['source'])) logOf(body['source']['connector'], ENVELOPE.connector);
  if ('ddl' in body && 'tableChanges' in body) {
    throw new InvalidEvent(
      'not-a-change',
      'a schema change, which the connector writes to the topic that is named like its topic.prefix: no function reads that topic',
    );
  }
  if ('before' in body || 'after' in body) {
    throw new InvalidEvent(
      'incomplete-change',
      'op is missing: CloudEventsConverter needs extension.attributes.enable=true',
    );
  }
  throw new InvalidEvent(
    'not-a-change',
    'neither an envelope (op, source, before, after) nor a flattened row (__op, __table, __lsn or __file)',
  );
}

function fromEnvelope(body: Record<string, unknown>): RawChange {
  const source = isObject(body['source']) ? body['source'] : {};
  return {
    op: body['op'],
    connector: source['connector'],
    log: logOf(source['connector'], ENVELOPE.connector),
    name: source['name'],
    schema: source['schema'],
    db: source['db'],
    table: source['table'],
    lsn: source['lsn'],
    file: source['file'],
    pos: source['pos'],
    row: source['row'],
    gtid: source['gtid'],
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
    log: logOf(attributes['iodebeziumconnector'], CONVERTED.connector),
    name: attributes['iodebeziumname'],
    schema: attributes['iodebeziumschema'],
    db: attributes['iodebeziumdb'],
    table: attributes['iodebeziumtable'],
    lsn: attributes['iodebeziumlsn'],
    file: attributes['iodebeziumfile'],
    pos: attributes['iodebeziumpos'],
    row: attributes['iodebeziumrow'],
    gtid: attributes['iodebeziumgtid'],
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
  const connector = body['__connector'] ?? body['__source_connector'];
  return {
    op: body['__op'],
    connector,
    log: logOf(connector, FLATTENED.connector),
    name: body['__name'] ?? body['__source_name'],
    schema: body['__schema'] ?? body['__source_schema'],
    db: body['__db'] ?? body['__source_db'],
    table: body['__table'] ?? body['__source_table'],
    lsn: body['__lsn'] ?? body['__source_lsn'],
    file: body['__file'] ?? body['__source_file'],
    pos: body['__pos'] ?? body['__source_pos'],
    row: body['__row'] ?? body['__source_row'],
    gtid: body['__gtid'] ?? body['__source_gtid'],
    at: body['__source_ts_ms'],
    snapshot: body['__snapshot'] ?? body['__source_snapshot'],
    sequence: body['__sequence'] ?? body['__source_sequence'],
    handledAt: body['__ts_ms'],
    before: body,
    after: body,
    names: FLATTENED,
  };
}
