/**
 * Reads a change from a Debezium message (3.7; test/fixtures/debezium holds real ones). Everything
 * Muster knows of that format is here and in row.ts.
 */
import type { Change } from '../../state/change.ts';
import type { ParkReason } from '../../state/outcome.ts';
import { isChangeType } from '../cloudevents/attributes.ts';
import { fromBase64 } from '../cloudevents/base64.ts';
import { exactData } from '../cloudevents/cloudevent.ts';
import { type CloudEvent } from '../cloudevents/incoming.ts';
import { requireReadSource } from './connectors.ts';
import { whyNotJson } from '../diagnosis.ts';
import { isRounded, NotJson, parse, parseExact, textOf } from '../../lib/exact-json.ts';
import { isObject, readRow } from './row.ts';
import { stateChange, type Statement } from './raw-change.ts';
import { kindOf, show, InvalidEvent } from '../invalid-event.ts';

/** A message that changes no row. */
export interface Ignored {
  readonly kind: 'ignored';
  readonly why: 'other-type' | 'tombstone' | 'heartbeat' | 'transaction' | 'message';
}

/** A message that should be a change; `detail` names the field and what was in it. */
interface InvalidReading {
  readonly kind: 'unreadable';
  readonly reason: ParkReason;
  readonly detail: string;
}

export type Reading = Change | Ignored | InvalidReading;

/** No log is that long (32 PiB): the position was made up, or is no position. */
const LSN_LIMIT = 1n << 55n;
/** The year 10000: microseconds or nanoseconds in place of milliseconds. */
const TIME_LIMIT = 253_402_300_800_000;

/**
 * Reads the change an event carries: a Debezium envelope, `{schema, payload}` around one, a
 * CloudEvent of Debezium's converter (as this event, or as the body of KafkaSource's), or a
 * flattened row that carries op, table and lsn. Never throws for anything in the event.
 */
export function readChange(event: CloudEvent): Reading {
  if (!isChangeType(event.type)) return { kind: 'ignored', why: 'other-type' };
  try {
    if (event.data !== undefined) {
      return read(event.data, event, false) ?? read(exactData(event), event, true)!;
    }
    if (event.body.length === 0) return { kind: 'ignored', why: 'tombstone' };
    const text = textOf(event.body);
    return read(parse(text), event, false) ?? read(parseExact(text), event, true)!;
  } catch (error) {
    if (error instanceof NotJson) {
      const detail = whyNotJson('the body', error, event.body);
      return { kind: 'unreadable', reason: 'not-a-change', detail };
    }
    if (!(error instanceof InvalidEvent)) throw error;
    return { kind: 'unreadable', reason: error.reason, detail: error.message };
  }
}

/** Null where `exact` is false and a number was rounded. */
function read(value: unknown, event: CloudEvent, exact: boolean): Reading | null {
  let attributes: Readonly<Record<string, unknown>> = event.attributes;
  let body = withoutSchema(value);
  // Where the operation is said beside it, in an added field or an attribute, the body is a row, and may
  // have columns of any name.
  const isRow = (held: unknown) =>
    attributes['iodebeziumop'] !== undefined || (isObject(held) && '__op' in held);
  while (isObject(body) && typeof body['specversion'] === 'string' && !isRow(body)) {
    attributes = body;
    body = withoutSchema(dataOf(body, exact));
  }
  if (body === null && attributes['iodebeziumop'] === undefined) {
    return { kind: 'ignored', why: 'tombstone' };
  }
  if (!isObject(body)) throw new InvalidEvent('not-a-change', whatElse(body));
  const why = isRow(body) ? null : recordKind(body);
  if (why !== null) return { kind: 'ignored', why };
  const statement = stateChange(body, attributes);
  requireReadSource(statement.connector, statement.names.connector);
  if (statement.op === 'm') return { kind: 'ignored', why: 'message' };
  return toChange(statement, event, exact);
}

/** The data of a CloudEvent that is the body of another one. */
function dataOf(event: Record<string, unknown>, exact: boolean): unknown {
  const { type, data_base64: encoded, data } = event;
  if (typeof type !== 'string' || !isChangeType(type)) {
    throw new InvalidEvent('not-a-change', `the body is a CloudEvent of type ${show(type)}`);
  }
  if (typeof encoded !== 'string') return data ?? null;
  const what = 'data_base64 of the CloudEvent in the body';
  const bytes = fromBase64(encoded);
  if (bytes === null) throw new InvalidEvent('not-a-change', `${what} is not base64`);
  if (bytes.length === 0) return null;
  try {
    const text = textOf(bytes);
    const value = parse(text);
    return exact ? parseExact(text) : value;
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    throw new InvalidEvent('not-a-change', whyNotJson(what, error, bytes));
  }
}

function whatElse(body: unknown): string {
  if (typeof body === 'string' && /^\s*[{[]/.test(body)) {
    return 'the body is JSON inside a text: send the JSON itself, not encoded a second time';
  }
  const first: unknown = Array.isArray(body) ? body[0] : null;
  if (isObject(first) && 'specversion' in first) {
    return 'the body is a batch of CloudEvents: its content type is application/cloudevents-batch+json';
  }
  return `the body is ${kindOf(body)}, not an object`;
}

/** JsonConverter with `schemas.enable`: `{schema, payload}`. A row with columns so named has an `__op`, or holds no object. */
function withoutSchema(value: unknown): unknown {
  if (!isObject(value) || !('payload' in value) || '__op' in value) return value;
  const { schema, payload } = value;
  const isAlone = schema === null && Object.keys(value).length === 2;
  return isObject(schema) || isAlone ? payload : value;
}

/** Heartbeats are `{ts_ms}`; transaction records have a status, an id and counts. */
function recordKind(body: Record<string, unknown>): 'heartbeat' | 'transaction' | null {
  if ('ts_ms' in body && Object.keys(body).every((key) => /^ts_[mun]s$/.test(key))) {
    return 'heartbeat';
  }
  const bounds = body['status'] === 'BEGIN' || body['status'] === 'END';
  return bounds && 'data_collections' in body && typeof body['id'] === 'string'
    ? 'transaction'
    : null;
}

function toChange(statement: Statement, event: CloudEvent, exact: boolean): Change | null {
  const { op, names } = statement;
  if (op !== 'c' && op !== 'u' && op !== 'd' && op !== 'r' && op !== 't') {
    throw incomplete(names.op, op, 'c, u, d, r, t or m is expected');
  }
  if (!exact && typeof statement.lsn === 'number' && isRounded(statement.lsn)) return null;
  const schema = requireName(statement.schema, names.schema);
  const table = `${schema}.${requireName(statement.table, names.table)}`;
  // A flattened row need not say it: of one connector there is one name in any case.
  const source = statement.name == null ? '' : requireName(statement.name, names.name);
  const at = readTime(statement.at, names.at);
  const isIncremental = op === 'r' && statement.lsn == null;
  if (isIncremental && statement.connector == null) {
    throw incomplete(
      names.connector,
      statement.connector,
      'postgresql is expected on a read without a position',
    );
  }
  const lsn = isIncremental ? positionOf(statement.sequence) : readLsn(statement.lsn, names.lsn);
  const handledAt = isTime(statement.handledAt) ? statement.handledAt : at;
  const lastCommit = lastCommitOf(statement.sequence);
  if (op === 't') {
    return { kind: 'truncate', source, table, lsn: lsn!, at, handledAt, lastCommit, origin: event };
  }
  const row =
    op === 'd'
      ? readRow(statement.before, names.before, exact)
      : readRow(statement.after, names.after, exact);
  if (row === null) return null;
  const snapshot =
    op === 'r' ? readSnapshot(statement.snapshot, isIncremental, names.snapshot) : null;
  return {
    kind: 'row',
    op,
    source,
    table,
    lsn,
    at,
    handledAt,
    lastCommit,
    snapshot,
    row,
    origin: event,
  };
}

/** A name Postgres can hold: its own have at most 63 bytes, those of connectors are parts of topics' (249). */
function requireName(value: unknown, name: string): string {
  if (typeof value === 'string' && /^[^\0]{1,249}$/.test(value) && value.isWellFormed()) {
    return value;
  }
  throw incomplete(name, value, 'a name is expected');
}

/** A number, or text in CloudEvents attributes. */
function readTime(value: unknown, name: string): number {
  const time = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (isTime(time)) return time;
  throw incomplete(name, value, 'milliseconds since 1970 are expected');
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < TIME_LIMIT;
}

/** `source.sequence` is the text `["<position of the last commit>","<position>"]`; the first may be null. */
const SEQUENCE = /^\[(?:null|"(\d{1,20})"),"(\d{1,20})"\]$/;

function lastCommitOf(sequence: unknown): bigint | null {
  return sequencesOf(sequence)[0];
}

/**
 * Where the connector was in the log when it emitted an incremental read: it compares its reads with the
 * changes up to there.
 */
function positionOf(sequence: unknown): bigint | null {
  const [lastCommit, lsn] = sequencesOf(sequence);
  return lastCommit !== null && lsn !== null && lastCommit > lsn ? lastCommit : (lsn ?? lastCommit);
}

function sequencesOf(sequence: unknown): [lastCommit: bigint | null, lsn: bigint | null] {
  const found = typeof sequence === 'string' ? SEQUENCE.exec(sequence) : null;
  return [toLsn(found?.[1]), toLsn(found?.[2])];
}

function toLsn(digits: string | undefined): bigint | null {
  const lsn = digits === undefined ? 0n : BigInt(digits);
  return lsn > 0n && lsn < LSN_LIMIT ? lsn : null;
}

/** A number, the object of `JSON.rawJSON` beyond 2^53, or text in CloudEvents attributes. */
function readLsn(value: unknown, name: string): bigint {
  const digits = JSON.isRawJSON(value) ? value.rawJSON : value;
  if (
    (typeof digits !== 'string' && typeof digits !== 'number') ||
    !/^-?\d{1,40}$/.test(`${digits}`)
  ) {
    throw incomplete(name, value, 'a position in the log is expected');
  }
  const lsn = BigInt(digits);
  if (lsn > 0n && lsn < LSN_LIMIT) return lsn;
  throw new InvalidEvent(
    'position-ahead',
    `${name} is ${digits}, absurd: no log has that position`,
  );
}

/**
 * Which snapshot a read belongs to. Null and "false" occur on reads only where the marker was not
 * kept (a flattened row without `__snapshot`); incremental reads have no LSN, the others have.
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

function incomplete(name: string, value: unknown, expected: string): InvalidEvent {
  return new InvalidEvent('incomplete-change', `${name} is ${show(value)}: ${expected}`);
}
