import { unread } from './unread.ts';
import { type CloudEvent, type Incoming } from './incoming.ts';
import type { IncomingHttpHeaders } from 'node:http';
import { isChangeType, problemWith, type Attributes } from './attributes.ts';
import { parseExact, textOf } from '../../lib/exact-json.ts';
import { isObject } from '../debezium/row.ts';
import { readEncoded } from './structured.ts';

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
  const attributes = sentAttributes(headers);
  if (contentType !== null && /^\s*application\/cloudevents/i.test(contentType)) {
    const incoming = readEncoded(contentType, body, attributes);
    if (incoming.kind === 'event' || incoming.kind === 'batch') return incoming;
    if (attributes['id'] === undefined) {
      return incoming.kind === 'bad'
        ? incoming
        : unread({ attributes, contentType, body }, incoming.why);
    }
  }
  const problem = problemWith(attributes) ?? repeated(attributes['type']!);
  if (problem !== null) {
    const hint = holdsCloudEvent(body)
      ? 'the body looks like a CloudEvent: its content type is application/cloudevents+json, that of a batch application/cloudevents-batch+json'
      : EXAMPLE;
    return unread({ attributes, contentType, body }, `${problem} in the ce- headers (${hint})`);
  }
  return {
    kind: 'event',
    event: { type: attributes['type']!, attributes, contentType, body, data: undefined },
  };
}

/** Node joins headers of one name: the type would be one that nobody knows, and the event ignored. */
function repeated(type: string): string | null {
  const types = type.split(',').map((each) => each.trim());
  return types.length > 1 && types.some(isChangeType) ? 'attribute type is there twice' : null;
}

/** By the beginning of the body: it is asked only for an answer to somebody who forgot the headers. */
function holdsCloudEvent(body: Uint8Array): boolean {
  return /"specversion"\s*:/.test(Buffer.from(body.subarray(0, 4096)).toString('latin1'));
}

/** The data of an event in structured mode without loss. */
export function exactData({ body }: CloudEvent): unknown {
  const event = parseExact(textOf(body));
  return (isObject(event) ? event['data'] : null) ?? null;
}

/**
 * Attributes in the ce- headers. Values are not percent-decoded as the binding asks: KafkaSource does not
 * encode them (a key may hold a bare %), and Muster decides nothing by those that would need it.
 */
export function sentAttributes(headers: IncomingHttpHeaders): Attributes {
  const attributes: Attributes = {};
  for (const header in headers) {
    const value = headers[header];
    if (header.startsWith('ce-') && typeof value === 'string') attributes[header.slice(3)] = value;
  }
  return attributes;
}
