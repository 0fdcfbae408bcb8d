import type { KafkaMessage } from 'kafkajs';

/** The last value of each header by name; empty if the header has no value. */
export type Headers = Readonly<Record<string, Buffer>>;

const NO_HEADERS: Headers = {};

/** Returns the last value of each header of a message. */
export function lastHeaders({ headers }: Pick<KafkaMessage, 'headers'>): Headers {
  let lasts: Record<string, Buffer> | null = null;
  for (const name in headers) {
    const last = [headers[name]].flat().at(-1);
    lasts ??= {};
    lasts[name] = last == null ? Buffer.alloc(0) : Buffer.from(last as Buffer);
  }
  return lasts ?? NO_HEADERS;
}
