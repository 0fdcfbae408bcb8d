import { type Batch } from './incoming.ts';
import { setImmediate as turn } from 'node:timers/promises';
import type { BadElement, CloudEvent } from './incoming.ts';

/** As many real changes (1.5 KB each) as a body of 16 MiB holds. */
export const MAX_ELEMENTS = 10_000;
/** More of them say that the request is no batch of CloudEvents, and would only fill the table of parked events. */
export const MAX_BAD_ELEMENTS = 100;
/** The event loop is given back after this time: probes and other requests are answered meanwhile. */
const TURN_MS = 10;

/**
 * Reads the elements of a batch in turns of the event loop. Gives back the whole request as one bad
 * element where a bound is exceeded, with the index of the first element that is no CloudEvent.
 */
export async function readBatch({
  origin,
  texts,
  read,
}: Batch): Promise<readonly (CloudEvent | BadElement)[] | BadElement> {
  const isTooLong = texts.length > MAX_ELEMENTS;
  const elements: (CloudEvent | BadElement)[] = [];
  let bad = 0;
  let first: string | null = null;
  let since = performance.now();
  for (const text of texts) {
    const element = read(text);
    if ('why' in element) {
      first ??= `element ${elements.length} is the first that is no CloudEvent: ${element.why}`;
      bad++;
    }
    elements.push(element);
    if (bad > MAX_BAD_ELEMENTS || (isTooLong && bad > 0)) break;
    if (performance.now() - since < TURN_MS) continue;
    await turn();
    since = performance.now();
  }
  if (isTooLong) {
    const why = `the batch has more than ${MAX_ELEMENTS} elements: send smaller ones`;
    return { origin, why: first === null ? why : `${why}; ${first}` };
  }
  if (bad > MAX_BAD_ELEMENTS) {
    return {
      origin,
      why: `more than ${MAX_BAD_ELEMENTS} elements of the batch are no CloudEvents; ${first}`,
    };
  }
  return elements;
}

/**
 * Splits the JSON array in `bytes` at its commas, without reading what is between them: 16 MiB take 50 ms,
 * where JSON.parse of 5 million objects takes a second. Ends after `limit` elements; null if the bytes are
 * no array. Elements are not checked: what is wrong inside of one is found when that one is read.
 */
export function splitArray(bytes: Uint8Array, limit: number): Uint8Array[] | null {
  const elements: Uint8Array[] = [];
  let at = skipSpace(bytes, bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0);
  if (bytes[at] !== 0x5b) return null;
  let from = ++at;
  for (let depth = 1; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === 0x22) at = endOfString(bytes, at);
    else if (byte === 0x5b || byte === 0x7b) depth++;
    else if (byte === 0x2c && depth === 1) {
      elements.push(bytes.subarray(from, at));
      if (elements.length === limit) return elements;
      from = at + 1;
    } else if ((byte === 0x5d || byte === 0x7d) && --depth === 0) {
      const isEmpty = elements.length === 0 && skipSpace(bytes, from) === at;
      if (!isEmpty) elements.push(bytes.subarray(from, at));
      return byte === 0x5d && skipSpace(bytes, at + 1) === bytes.length ? elements : null;
    }
  }
  return null;
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
  }
  return at;
}

/** Where the string ends whose opening quote stands at `start`; the end of the bytes if it does not. */
function endOfString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== 0x22) at += bytes[at] === 0x5c ? 2 : 1;
  return at;
}
