import { isObject, isRounded } from '../../lib/exact-json.ts';
import { flawOf, ROUNDED } from '../../lib/storable-json.ts';
import { EVENTS } from '../../state/ingest/event-version.ts';
import {
  UNAVAILABLE,
  type Origin,
  type RowChange,
  type TruncateChange,
} from '../../state/change.ts';
import { incomplete, InvalidEvent, kindOf, show } from '../invalid-event.ts';
import { readGtid, readLogPlace } from './log-position.ts';
import type { RawChange } from './message-forms.ts';

/** The year 10000: a larger value is in microseconds or nanoseconds instead of milliseconds. */
const TIME_LIMIT = 253_402_300_800_000;

/** Debezium sends this for a value that it does not have (default of `unavailable.value.placeholder`). */
const PLACEHOLDER = '__debezium_unavailable_value';
/** The placeholder in a column of bytes. */
const PLACEHOLDER_BASE64 = 'X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==';
/** The placeholder in an array of uuid: `UUID.nameUUIDFromBytes` of its bytes. */
const PLACEHOLDER_UUID = 'b68a35a7-17ad-35b3-af2a-ae46edb4545a';
/** The placeholder in an array of int or bigint: its bytes. */
const PLACEHOLDER_BYTES = [...Buffer.from(PLACEHOLDER)];

/**
 * Validates the fields of a change and its row. Returns null if `JSON.parse` has rounded a number of it, unless
 * the message was parsed by `parseExact` (`exact`). Throws {@link InvalidEvent}, which names the field and its value.
 */
export function validateChange(
  raw: RawChange,
  origin: Origin,
  exact: boolean,
): RowChange | TruncateChange | null {
  const { op, names } = raw;
  if (op !== 'c' && op !== 'u' && op !== 'd' && op !== 'r' && op !== 't') {
    throw incomplete(names.op, op, 'c, u, d, r, t or m is expected');
  }
  if (!exact && typeof raw.lsn === 'number' && isRounded(raw.lsn)) return null;
  const log = raw.log ?? (raw.lsn == null && raw.file != null ? 'binlog' : 'wal');
  const schema =
    log === 'binlog' ? requireName(raw.db, names.db) : requireName(raw.schema, names.schema);
  const table = `${schema}.${requireName(raw.table, names.table)}`;
  // A flattened row may lack the name of its connector.
  const source = raw.name == null ? '' : requireName(raw.name, names.name);
  if (source === EVENTS) {
    throw incomplete(names.name, source, 'the name of a connector is expected');
  }
  const at = readTime(raw.at, names.at);
  const { lsn, lastCommit, isIncremental } = readLogPlace(raw, log);
  const handledAt = isTime(raw.handledAt) ? raw.handledAt : null;
  const gtid = log === 'binlog' ? readGtid(raw) : null;
  const binlog = log === 'binlog' && { log, ...(gtid !== null && { gtid }) };
  const of = { source, at, handledAt, lastCommit, origin, ...binlog };
  if (op === 't') {
    return { kind: 'truncate', lsn: lsn!, table, ...of };
  }
  const row =
    op === 'd' ? readRow(raw.before, names.before, exact) : readRow(raw.after, names.after, exact);
  if (row === null) return null;
  const snapshot = op === 'r' ? readSnapshot(raw.snapshot, isIncremental, names.snapshot) : null;
  return { kind: 'row', op, lsn, snapshot, row, stream: table, ...of };
}

/**
 * Requires a name that PostgreSQL can store. Names of tables have at most 63 bytes; the name of a connector is
 * part of a topic's name, which has at most 249.
 */
function requireName(value: unknown, name: string): string {
  if (typeof value === 'string' && /^[^\0]{1,249}$/.test(value) && value.isWellFormed()) {
    return value;
  }
  throw incomplete(name, value, 'a name is expected');
}

/** Reads a time that is a number, or text in attributes of a CloudEvent. */
function readTime(value: unknown, name: string): number {
  const time = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (isTime(time)) return time;
  throw incomplete(name, value, 'milliseconds since 1970 are expected');
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < TIME_LIMIT;
}

/**
 * Reads which snapshot a read belongs to. Null and "false" occur on reads only if the marker was dropped (a
 * flattened row without `__snapshot`). Incremental reads have no LSN, initial ones have.
 */
function readSnapshot(
  marker: unknown,
  isIncremental: boolean,
  name: string,
): 'initial' | 'incremental' {
  switch (marker) {
    case 'incremental':
      return 'incremental';
    case true:
    case 'true':
    case 'first':
    case 'last':
    case 'first_in_data_collection':
    case 'last_in_data_collection':
      return 'initial';
    case undefined:
    case null:
    case false:
    case 'false':
      return isIncremental ? 'incremental' : 'initial';
    default:
      throw incomplete(name, marker, 'a snapshot marker of Debezium is expected');
  }
}

/**
 * Turns a parsed value into a {@link Row} in place: placeholders become `UNAVAILABLE`, and keys named
 * `__proto__` are deleted. Returns null if `JSON.parse` has rounded a number, unless `exact` is true. The values
 * decide this, not a search of the text, so no integer is missed, and the 19 digits of `ts_ns` outside the row
 * cost nothing.
 *
 * Throws {@link InvalidEvent} for a value that is not an object, that PostgreSQL can't store or that no source
 * sends.
 */
function readRow(value: unknown, name: string, exact: boolean): Record<string, unknown> | null {
  if (!isObject(value)) {
    throw new InvalidEvent('incomplete-change', `${name} is ${kindOf(value)}, not a row`);
  }
  const row = value;
  for (const column in row) {
    const held = row[column];
    if (isPlaceholder(held)) {
      row[column] = UNAVAILABLE;
      continue;
    }
    const flaw = flawOf(held, exact);
    if (flaw === ROUNDED) return null;
    if (flaw !== null) throw new InvalidEvent('bad-value', `column ${show(column)} ${flaw}`);
  }
  if (Object.hasOwn(row, '__proto__')) delete row['__proto__'];
  return row;
}

/** Recognizes the forms of Debezium's UnchangedToastedPlaceholder: text, bytes, array of those, array of int, hstore. */
function isPlaceholder(value: unknown): boolean {
  if (typeof value === 'string') return value === PLACEHOLDER || value === PLACEHOLDER_BASE64;
  if (typeof value !== 'object' || value === null) return false;
  if (!Array.isArray(value)) return PLACEHOLDER in value;
  return value.length === 1
    ? value[0] === PLACEHOLDER_UUID || (typeof value[0] === 'string' && isPlaceholder(value[0]))
    : value.length === PLACEHOLDER_BYTES.length &&
        value.every((byte, index) => byte === PLACEHOLDER_BYTES[index]);
}
