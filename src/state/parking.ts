import { createHash } from 'node:crypto';
import type { Origin } from './change.ts';

/** An event to keep aside, as its statements take it. */
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
    attributes: JSON.stringify(origin.attributes, (_, value: unknown) =>
      typeof value === 'string' ? storable(value) : value,
    ),
    contentType: origin.contentType,
    contentEncoding: origin.contentEncoding ?? null,
    body: Buffer.from(origin.body),
  };
}

/** Text as Postgres holds it: neither U+0000 nor half a surrogate pair. */
function storable(text: string): string {
  return text.replaceAll('\0', '\\0').toWellFormed();
}
