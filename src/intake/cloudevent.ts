import type { IncomingHttpHeaders } from 'node:http';
import type { Origin } from '../state/change.ts';
import { isText, problemOfSdk, problemWith, type Attributes } from './attributes.ts';
import { NotJson, parseExact, textOf } from './json.ts';
import { isObject } from './row.ts';
import { show } from './unreadable.ts';

/** A CloudEvent 1.0: `attributes` holds id, source, type and specversion at least. */
export interface CloudEvent extends Origin {
  readonly type: string;
  /** The data of structured and batched mode, read exactly; undefined in binary mode: it is the body. */
  readonly data: unknown;
}

/** An element of a batch that is no CloudEvent. */
export interface BadElement {
  readonly origin: Origin;
  readonly why: string;
}

export type Incoming =
  | { readonly kind: 'event'; readonly event: CloudEvent }
  | { readonly kind: 'batch'; readonly elements: readonly (CloudEvent | BadElement)[] }
  | { readonly kind: 'none'; readonly why: string };

const EXAMPLE =
  "e.g. curl -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /me' -H 'ce-type: dev.knative.kafka.event' --data @change.json";

/**
 * Reads the CloudEvents of a request (HTTP protocol binding 1.0.2), by the names and values of
 * Node's headers. Binary mode is read here and not by the SDK, which takes 30 µs of a request's 56
 * and lets a bad source and time pass; this takes 0.7. A test holds the two against each other.
 *
 * KafkaSource sends a record whose structured event it could not read in binary mode, with the
 * structured content type (fixture ce-structured-broken), so one that can't be read here either is
 * still an event: its data is that body, or empty for a tombstone.
 */
export function readCloudEvents(headers: IncomingHttpHeaders, body: Uint8Array): Incoming {
  const contentType = headers['content-type'] ?? null;
  const attributes = binaryAttributes(headers);
  if (contentType !== null && /^\s*application\/cloudevents/i.test(contentType)) {
    const incoming = readEncoded(contentType, body, attributes);
    if (incoming.kind !== 'none' || attributes['id'] === undefined) return incoming;
  }
  const why = problemWith(attributes);
  if (why !== null) return { kind: 'none', why: `${why} in the ce- headers (${EXAMPLE})` };
  return {
    kind: 'event',
    event: { type: attributes['type']!, attributes, contentType, body, data: undefined },
  };
}

/**
 * Values are not percent-decoded as the binding asks: KafkaSource does not encode them (a key may
 * hold a bare %), and Muster decides nothing by those that would need it.
 */
function binaryAttributes(headers: IncomingHttpHeaders): Attributes {
  const attributes: Attributes = {};
  for (const header in headers) {
    const value = headers[header];
    if (header.startsWith('ce-') && typeof value === 'string') attributes[header.slice(3)] = value;
  }
  return attributes;
}

/** Structured or batched mode in JSON; other formats of the spec (Avro, protobuf, XML) are not read. */
function readEncoded(contentType: string, body: Uint8Array, sent: Attributes): Incoming {
  const format = /^\s*application\/cloudevents(-batch)?\+json\s*(?:;|$)/i.exec(contentType);
  if (format === null) {
    return { kind: 'none', why: `content type ${contentType} is not application/cloudevents+json` };
  }
  let value: unknown;
  try {
    value = parseExact(textOf(body));
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    return { kind: 'none', why: `the body is ${error.message}` };
  }
  if (format[1] === undefined) {
    const read = readElement(value, contentType, body, sent);
    return 'why' in read ? { kind: 'none', why: read.why } : { kind: 'event', event: read };
  }
  if (!Array.isArray(value)) return { kind: 'none', why: 'the body of a batch is not an array' };
  // What parseExact could read, JSON.stringify can write: it goes twice as deep.
  const elements = value.map((element: unknown) =>
    readElement(
      element,
      'application/cloudevents+json',
      Buffer.from(JSON.stringify(element)),
      sent,
    ),
  );
  return { kind: 'batch', elements };
}

/** An event in the JSON format (1.0.2). `sent` are attributes that the transport added beside it. */
function readElement(
  value: unknown,
  contentType: string,
  body: Uint8Array,
  sent: Attributes,
): CloudEvent | BadElement {
  const attributes: Attributes = { ...sent };
  const bad = (why: string): BadElement => ({ origin: { attributes, contentType, body }, why });
  if (!isObject(value)) return bad('the event is not a JSON object');
  const own: Attributes = {};
  for (const [name, held] of Object.entries(value)) {
    // Debezium's converter writes null for what is absent, and its transaction's number as
    // iodebeziumtxId beside the proper iodebeziumtxid.
    if (name === 'data' || name === 'data_base64' || held === null || name === 'iodebeziumtxId') {
      continue;
    }
    if (typeof held !== 'string' && typeof held !== 'number' && typeof held !== 'boolean') {
      return bad(`attribute ${show(name)} is neither text, number nor boolean`);
    }
    const text = String(held);
    if (!isText(text)) return bad(`attribute ${show(name)} is no text`);
    own[name] = text;
  }
  const why = problemWith(own) ?? problemOfSdk(own);
  if (why !== null) return bad(why);
  Object.assign(attributes, own);
  const { data_base64: encoded, data } = value;
  if (encoded === undefined || encoded === null) {
    return { type: own['type']!, attributes, contentType, body, data: data ?? null };
  }
  if (typeof encoded !== 'string') return bad('data_base64 is not a text');
  if (data !== undefined) return bad('data and data_base64 are both there');
  const bytes = Buffer.from(encoded, 'base64');
  return {
    type: own['type']!,
    attributes,
    contentType: own['datacontenttype'] ?? null,
    body: bytes,
    data: undefined,
  };
}
