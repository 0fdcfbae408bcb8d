import { requireReadSource } from './connectors.ts';
import { isObject } from './row.ts';
import { InvalidEvent } from '../invalid-event.ts';

/** What a message says of its change in whichever form, values as they came, with the names they had there. */
export interface Statement {
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

type Names = Readonly<Record<Exclude<keyof Statement, 'names'>, string>>;

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
 * Finds which form of a change this is. `attributes` are those of the CloudEvent whose data `body`
 * is. Throws {@link Unreadable} where it is none.
 */
export function stateChange(
  body: Record<string, unknown>,
  attributes: Readonly<Record<string, unknown>>,
): Statement {
  // What names the form beside the row decides before names that may be columns of it.
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
  // a change of the schema, say
  if (isObject(body['source'])) requireReadSource(body['source']['connector'], 'source.connector');
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

function fromEnvelope(body: Record<string, unknown>): Statement {
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
 * CloudEventsConverter: metadata in attributes, data is `{before, after}`; or the bare row, if
 * ExtractNewRecordState came before it (`metadata.source=header`).
 */
function fromConverted(
  body: Record<string, unknown>,
  attributes: Readonly<Record<string, unknown>>,
): Statement {
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

/** A row as it was or is, and no column that is named `before` or `after`. */
function isImage(value: unknown): boolean {
  return value === null || isObject(value);
}

/**
 * ExtractNewRecordState with `add.fields`: a field of the envelope or of `source` as `__field`, one
 * asked for as `source.field` as `__source_field`. `__ts_ms` alone is when the connector handled it,
 * so it does not do for the time of commit. They stay in the row: only named columns are kept of it.
 */
function fromFlattened(body: Record<string, unknown>): Statement {
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
