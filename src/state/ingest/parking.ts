import { createHash } from 'node:crypto';
import type { Origin } from '../change.ts';

/** Longest attribute that is stored whole; a KafkaSource sends a record's key as two of them. */
const MAX_VALUE = 512;
/**
 * Largest sum of names and values. A KafkaSink takes 8 KiB of headers, and on a dead letter a KafkaSource
 * adds 2 KiB to those of the event: one that is redelivered must fit.
 */
const MAX_ATTRIBUTES = 4096;
/** Without these it is no CloudEvent, or not the same one. */
const FIRST = ['specversion', 'id', 'source', 'type', 'time', 'subject', 'datacontenttype'];

/** An event to park, as the statements take it. */
export interface Parking {
  /** Equal exactly for the same event parked for the same reason: parked again it only counts. */
  readonly digest: Buffer;
  readonly reason: string;
  readonly detail: string;
  /** JSON. */
  readonly attributes: string;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  readonly body: Buffer;
}

export function toParking(origin: Origin, reason: string, detail: string): Parking {
  const digest = createHash('sha256')
    .update(JSON.stringify([reason, origin.attributes['source'], origin.attributes['id']]))
    .update(origin.body)
    .digest();
  return {
    digest,
    reason,
    detail: storable(detail).slice(0, 2000),
    attributes: JSON.stringify(shortened(origin.attributes), (_, value: unknown) =>
      typeof value === 'string' ? storable(value) : value,
    ),
    contentType: origin.contentType === null ? null : cut(origin.contentType),
    contentEncoding: origin.contentEncoding ?? null,
    body: Buffer.from(origin.body),
  };
}

/**
 * Attributes as they are stored, and sent when the event is redelivered: long values are cut, and what
 * is too much is left out and counted in `musteromitted`. Nothing of them decides what the event means.
 */
function shortened(attributes: Readonly<Record<string, string>>): Record<string, string> {
  const kept: Record<string, string> = {};
  let bytes = 0;
  let omitted = 0;
  for (const name of new Set([...FIRST, ...Object.keys(attributes)])) {
    if (attributes[name] === undefined) continue;
    const value = cut(attributes[name]);
    const size = name.length + Buffer.byteLength(value);
    if (bytes + size > MAX_ATTRIBUTES) {
      omitted++;
    } else {
      kept[name] = value;
      bytes += size;
    }
  }
  return omitted === 0 ? kept : { ...kept, musteromitted: String(omitted) };
}

/** The mark says how long the value was; in a URI it is allowed, as half an encoded character is not. */
function cut(value: string): string {
  const bytes = Buffer.byteLength(value);
  if (bytes <= MAX_VALUE) return value;
  const start = value.slice(0, MAX_VALUE / 2).replace(/[\ud800-\udbff]$|%[\da-f]?$/i, '');
  return `${start}...(${bytes}-bytes)`;
}

/** Text as Postgres holds it: neither U+0000 nor half a surrogate pair. */
function storable(text: string): string {
  return text.replaceAll('\0', '\\0').toWellFormed();
}
