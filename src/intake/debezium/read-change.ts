/**
 * Reads a change from a Debezium message (3.7; test/fixtures/debezium holds real ones) in three steps: unwrap
 * the message (here), parse its form (message-forms.ts), validate its fields (validate-change.ts).
 */
import type { RowChange, TruncateChange } from '../../state/change.ts';
import type { ParkReason } from '../../state/outcome.ts';
import { isChangeType } from '../cloudevents/attributes.ts';
import { fromBase64 } from '../cloudevents/base64.ts';
import { exactData } from '../cloudevents/cloudevent.ts';
import { type CloudEvent } from '../cloudevents/incoming.ts';
import { schemaInHeader, whyNotJson } from '../diagnosis.ts';
import { isObject, NotJson, parse, parseExact, textOf } from '../../lib/exact-json.ts';
import { parseEnvelope } from './message-forms.ts';
import { validateChange } from './validate-change.ts';
import { kindOf, show, InvalidEvent } from '../invalid-event.ts';

/** A message that changes no row. */
export interface Ignored {
  readonly kind: 'ignored';
  readonly why: 'tombstone' | 'heartbeat' | 'transaction' | 'message';
}

/** A message that should be a change; `detail` names the invalid field and its value. */
export interface Invalid {
  readonly kind: 'invalid';
  readonly reason: ParkReason;
  readonly detail: string;
}

export type Reading = RowChange | TruncateChange | Ignored | Invalid;

/**
 * Reads the change that an event carries: a Debezium envelope, `{schema, payload}` around one, a CloudEvent of
 * Debezium's converter (this event, or the body of a KafkaSource's event), or a flattened row with op, table
 * and lsn. The event is of a type that carries changes. Never throws for anything in the event.
 *
 * A message is parsed quickly first, and a second time without loss if a number of the change was rounded.
 */
export function readChange(event: CloudEvent): Reading {
  try {
    if (event.data !== undefined) {
      const isExact = event.isExact === true;
      return read(event.data, event, isExact) ?? read(exactData(event), event, true)!;
    }
    if (event.body.length === 0) return { kind: 'ignored', why: 'tombstone' };
    const text = textOf(event.body);
    return read(parse(text), event, false) ?? read(parseExact(text), event, true)!;
  } catch (error) {
    if (error instanceof NotJson) {
      const hint = schemaInHeader(event.attributes);
      const detail = `${whyNotJson('the body', error, event.body)}${hint}`;
      return { kind: 'invalid', reason: 'not-a-change', detail };
    }
    if (!(error instanceof InvalidEvent)) throw error;
    return { kind: 'invalid', reason: error.reason, detail: error.message };
  }
}

/** Returns null if `exact` is false and a number of the change was rounded. */
function read(value: unknown, event: CloudEvent, exact: boolean): Reading | null {
  const { body, attributes } = unwrap(value, event.attributes, exact);
  const why = whyIgnored(body, attributes);
  if (why !== null) return { kind: 'ignored', why };
  if (!isObject(body)) throw new InvalidEvent('not-a-change', whyNotObject(body));
  const raw = parseEnvelope(body, attributes);
  if (raw.op === 'm') return { kind: 'ignored', why: 'message' };
  return validateChange(raw, event, exact);
}

type Fields = Readonly<Record<string, unknown>>;

/** Removes what is around a change: CloudEvents in structured mode, and the schema of JsonConverter. */
function unwrap(
  value: unknown,
  outer: Fields,
  exact: boolean,
): { readonly body: unknown; readonly attributes: Fields } {
  let attributes = outer;
  let body = withoutSchema(value);
  while (isObject(body) && typeof body['specversion'] === 'string' && !isRow(body, attributes)) {
    attributes = body;
    body = withoutSchema(dataOf(body, exact));
  }
  return { body, attributes };
}

/**
 * Whether the body is a row, which may have columns of any name. Then the operation stands beside its columns,
 * in an added field or in an attribute.
 */
function isRow(body: Fields, attributes: Fields): boolean {
  return attributes['iodebeziumop'] !== undefined || '__op' in body;
}

function whyIgnored(body: unknown, attributes: Fields): Ignored['why'] | null {
  if (body === null) return attributes['iodebeziumop'] === undefined ? 'tombstone' : null;
  return isObject(body) && !isRow(body, attributes) ? recordKind(body) : null;
}

/** Returns the data of a CloudEvent that is the body of another one. */
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

/** Describes a body that is not an object, with a hint how to send it. */
function whyNotObject(body: unknown): string {
  if (typeof body === 'string' && /^\s*[{[]/.test(body)) {
    return 'the body is JSON inside a string: send the JSON itself, not encoded a second time';
  }
  const first: unknown = Array.isArray(body) ? body[0] : null;
  if (isObject(first) && 'specversion' in first) {
    return 'the body is a batch of CloudEvents: its content type is application/cloudevents-batch+json';
  }
  if (isObject(first)) {
    return 'the body is an array: send each of its changes as an event of its own, or all as CloudEvents with the content type application/cloudevents-batch+json';
  }
  return `the body is ${kindOf(body)}, not an object`;
}

/**
 * Removes the `{schema, payload}` of JsonConverter with `schemas.enable`. A row with columns of these names has
 * an `__op`, or its `schema` is not an object.
 */
function withoutSchema(value: unknown): unknown {
  if (!isObject(value) || !('payload' in value) || '__op' in value) return value;
  const { schema, payload } = value;
  const isAlone = schema === null && Object.keys(value).length === 2;
  return isObject(schema) || isAlone ? payload : value;
}

/** Recognizes heartbeats, which are `{ts_ms}`, and transaction records, which have a status, an id and counts. */
function recordKind(body: Record<string, unknown>): 'heartbeat' | 'transaction' | null {
  if ('ts_ms' in body && Object.keys(body).every((key) => /^ts_[mun]s$/.test(key))) {
    return 'heartbeat';
  }
  const bounds = body['status'] === 'BEGIN' || body['status'] === 'END';
  return bounds && 'data_collections' in body && typeof body['id'] === 'string'
    ? 'transaction'
    : null;
}
