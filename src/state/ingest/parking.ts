import { createHash } from 'node:crypto';
import type { Origin } from '../change.ts';

/** Longest attribute that is stored whole if a part names it: the length of a key, and of an id of two attributes. */
const MAX_NAMED = 1024;
/** Longest attribute that is stored whole otherwise; a KafkaSource sends a record's key as two attributes. */
const MAX_VALUE = 512;
/**
 * Maximum total size of names and values. A KafkaSink accepts 8 KiB of headers, and a KafkaSource adds 2 KiB to
 * those of a dead letter; a redelivered event must fit.
 */
const MAX_ATTRIBUTES = 4096;
/** Attributes that are stored first: without them, it is not a CloudEvent, or not the same one. */
const FIRST = ['specversion', 'id', 'source', 'type', 'time', 'subject', 'datacontenttype'];
/** Attributes that tell which record of which topic it was. */
const POSITION = ['kafkatopic', 'knativekafkapartition', 'knativekafkaoffset'];

/** An event to park, in the form of the statements' parameters. */
export interface Parking {
  /** Equal only for the same event parked for the same reason; parked again, the event is only counted. */
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
    attributes: JSON.stringify(
      Object.fromEntries(
        Object.entries(shortened(origin.attributes, origin.named)).map((pair) =>
          pair.map(storable),
        ),
      ),
    ),
    contentType: origin.contentType === null ? null : storable(cut(origin.contentType)),
    contentEncoding: origin.contentEncoding == null ? null : storable(origin.contentEncoding),
    body: Buffer.from(origin.body),
  };
}

/**
 * Returns the attributes as they are stored, and sent when the event is redelivered: long values are cut, and
 * attributes beyond the limit are omitted and counted in `musteromitted`. The meaning of the event does not
 * depend on any of them: those that every event has come first, then those that parts name, which are not cut up to
 * the length of a key.
 */
function shortened(
  attributes: Readonly<Record<string, string>>,
  named: readonly string[] = [],
): Record<string, string> {
  const kept: Record<string, string> = {};
  let bytes = 0;
  let omitted = 0;
  const order = [...FIRST, ...named, ...POSITION, ...Object.keys(attributes)];
  for (const name of new Set(order)) {
    if (!Object.hasOwn(attributes, name)) continue;
    const value = cut(attributes[name]!, named.includes(name) ? MAX_NAMED : MAX_VALUE);
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

/**
 * Cuts a long value and appends its original length. The suffix is valid in a URI, and no encoded character is
 * cut in half.
 */
function cut(value: string, max = MAX_VALUE): string {
  const bytes = Buffer.byteLength(value);
  if (bytes <= max) return value;
  const start = value.slice(0, MAX_VALUE / 2).replace(/[\ud800-\udbff]$|%[\da-f]?$/i, '');
  return `${start}...(${bytes}-bytes)`;
}

/** Returns the text without U+0000 and lone surrogates, which Postgres can't store. */
function storable(text: string): string {
  return text.replaceAll('\0', '\\0').toWellFormed();
}
