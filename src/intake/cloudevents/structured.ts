import {
  bringsChange,
  isChangeType,
  isJsonType,
  isName,
  isText,
  problemWith,
  type Attributes,
} from './attributes.ts';
import { fromBase64 } from './base64.ts';
import { splitArray, MAX_ELEMENTS } from './batch.ts';
import type { BadElement, CloudEvent, Incoming } from './incoming.ts';
import { looksLike, whyNotJson } from '../diagnosis.ts';
import { isObject, isRounded, NotJson, parse, textOf, TooLarge } from '../../lib/exact-json.ts';

import { show } from '../invalid-event.ts';

const STRUCTURED = 'application/cloudevents+json';
/**
 * Reads structured or batched mode in JSON; the spec's other formats (Avro, protobuf, XML) are not supported.
 * `sent` are attributes that the transport added.
 */
export function readEncoded(contentType: string, body: Uint8Array, sent: Attributes): Incoming {
  const format = /^\s*application\/cloudevents(-batch)?\+json\s*(?:;|$)/i.exec(contentType);
  if (format === null) {
    return { kind: 'none', why: `content type ${contentType} is not ${STRUCTURED}` };
  }
  if (format[1] !== undefined) return readBatched(contentType, body, sent);
  const read = readElement(body, contentType, sent);
  if (!('why' in read)) return { kind: 'event', event: read };
  return read.isTooLarge === true || bringsChange(read.origin.attributes)
    ? { kind: 'bad', element: read }
    : { kind: 'none', why: read.why };
}

function readBatched(contentType: string, body: Uint8Array, sent: Attributes): Incoming {
  const texts = splitArray(body, MAX_ELEMENTS + 1);
  if (texts === null) {
    const hint = looksLike(body);
    const why = 'the body of a batch is not a JSON array';
    return { kind: 'none', why: hint === null ? why : `${why}; ${hint}` };
  }
  const read = (text: Uint8Array) => readElement(text, STRUCTURED, sent);
  return { kind: 'batch', batch: { origin: { attributes: sent, contentType, body }, texts, read } };
}

/**
 * Reads an event in the JSON format (1.0.2). Numbers in its data may be rounded; `exactData` reads them again from
 * the bytes.
 */
function readElement(
  body: Uint8Array,
  contentType: string,
  sent: Attributes,
): CloudEvent | BadElement {
  const attributes: Attributes = { ...sent };
  const bad = (why: string): BadElement => ({ origin: { attributes, contentType, body }, why });
  let value: unknown;
  try {
    value = parse(textOf(body));
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    const isTooLarge = error instanceof TooLarge;
    return { ...bad(whyNotJson('the body', error, body)), ...(isTooLarge && { isTooLarge }) };
  }
  if (Array.isArray(value)) {
    return bad(
      'the event is an array, not a JSON object: the content type of a batch is application/cloudevents-batch+json',
    );
  }
  if (!isObject(value)) return bad('the event is not a JSON object');
  const { own, problem } = readAttributes(value);
  Object.assign(attributes, own);
  const why = problem ?? problemWith(own);
  if (why !== null) return bad(why);
  const type = own['type']!;
  const data = readData(value, own['datacontenttype']);
  if (typeof data === 'string') {
    // An event of a type that no function names is ignored even if its data is invalid, as in binary mode.
    return isChangeType(type)
      ? bad(data)
      : { type, attributes, contentType, body, data: undefined, dataProblem: data };
  }
  if (Buffer.isBuffer(data)) {
    const dataType = own['datacontenttype'] ?? null;
    return { type, attributes, contentType: dataType, body: data, data: undefined };
  }
  return { type, attributes, contentType, body, data: data.json };
}

/** Returns the data as a JSON value or as its bytes; a string names the problem. */
function readData(
  { data_base64: encoded, data }: Record<string, unknown>,
  dataType: string | undefined,
): { readonly json: unknown } | Buffer | string {
  if (encoded !== undefined && encoded !== null) {
    if (typeof encoded !== 'string') return 'data_base64 is not a string';
    if (data !== undefined && data !== null) return 'data and data_base64 are both present';
    return fromBase64(encoded) ?? 'data_base64 is not base64 (RFC 4648, padded with =)';
  }
  const isJson = dataType === undefined || isJsonType(dataType);
  return typeof data === 'string' && !isJson ? Buffer.from(data) : { json: data ?? null };
}

/** Returns the attributes that can be read, and the problem of the first that can't be. */
function readAttributes(value: Record<string, unknown>): {
  own: Attributes;
  problem: string | null;
} {
  const own: Attributes = {};
  let problem: string | null = null;
  for (const [name, held] of Object.entries(value)) {
    // Debezium's converter writes null for absent attributes, and the number of the transaction both as
    // iodebeziumtxId and as the valid iodebeziumtxid.
    if (name === 'data' || name === 'data_base64' || held === null || name === 'iodebeziumtxId') {
      continue;
    }
    const text = scalarText(held);
    const why = problemWithValue(name, held, text);
    if (text !== null && why === null) own[name] = text;
    else problem ??= why;
  }
  return { own, problem };
}

function scalarText(held: unknown): string | null {
  if (typeof held === 'string') return held;
  return typeof held === 'number' || typeof held === 'boolean' ? String(held) : null;
}

function problemWithValue(name: string, held: unknown, text: string | null): string | null {
  if (!isName(name)) return `${show(name)} is not a valid attribute name`;
  if (text === null) return `attribute ${show(name)} is neither text, number nor boolean`;
  if (typeof held === 'number' && isRounded(held)) {
    return `attribute ${show(name)} is a number beyond 2^53: send it as a string`;
  }
  return isText(text) ? null : `attribute ${show(name)} has invalid characters`;
}
