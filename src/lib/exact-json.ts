import { randomUUID } from 'node:crypto';

/** Thrown for a text that is not UTF-8, not JSON, or nested too deep to be read exactly. */
export class NotJson extends Error {
  override readonly name = 'NotJson';
}

/** Thrown for a text that may be JSON but exceeds a limit. */
export class TooLarge extends NotJson {}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Precedes the digits of a number that is read as a string; random, so that no text can contain it on purpose. */
const MARK = `${randomUUID()}:`;
/** Digits of the smallest integers that a double can't represent. */
const LOSSY_DIGITS = 16;
const QUOTE = 0x22;

/** Length in characters from which a text is checked before it is parsed. */
const LARGE = 65_536;
/** Limit for a large text: JSON.parse takes 0.1 s for this many objects or levels. A schema has some 10,000. */
const MAX_CONTAINERS = 250_000;
/** Limit for a large text: this many numbers of 7 digits fill a body of 16 MiB. */
const MAX_VALUES = 2_000_000;

/** Decodes UTF-8. Throws {@link NotJson} for invalid bytes: a replacement character would be a different value. */
export function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new NotJson('not text in UTF-8', { cause: error });
  }
}

/**
 * Parses JSON as JavaScript does: integers beyond 2^53 are rounded. Throws {@link NotJson}, also for a text
 * that would block the event loop: JSON.parse takes seconds for millions of objects or levels.
 */
export function parse(text: string): unknown {
  if (text.length > LARGE) requireModest(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw notJson(error);
  }
}

/**
 * Parses a text without loss that {@link parse} has accepted: a number that a double can't represent (an
 * integer beyond 2^53, 1e400) becomes an object of `JSON.rawJSON`, which `JSON.stringify` writes unchanged.
 * Throws {@link NotJson} if the text is nested too deep.
 *
 * Such numbers are turned into strings first, and back into numbers in the result of JSON.parse. A reviver
 * that receives the source text takes 1 µs for each value of the text: 0.3 s for 1 MB of small numbers, and
 * more memory than is available for 16 MB.
 */
export function parseExact(text: string): unknown {
  try {
    return restore(JSON.parse(marked(text)));
  } catch (error) {
    throw notJson(error);
  }
}

/** Rejects a text with too many objects, arrays or commas. Counting takes 20 to 50 ms for 16 MiB. */
function requireModest(text: string): void {
  let containers = 0;
  let values = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = endOfString(text, i);
    else if (code === 0x2c) values++;
    else if (code === 0x5b || code === 0x7b) containers++;
  }
  if (containers > MAX_CONTAINERS) {
    throw new TooLarge(`JSON of more than ${MAX_CONTAINERS} objects and arrays`);
  }
  if (values > MAX_VALUES) throw new TooLarge(`JSON of more than ${MAX_VALUES} values`);
}

/** Returns whether a number may be the rounded form of one that JSON.parse could not represent. */
export function isRounded(value: number): boolean {
  return Math.abs(value) > Number.MAX_SAFE_INTEGER;
}

/** Returns the text with each number that a double can't represent as a marked string. */
function marked(text: string): string {
  const pieces: string[] = [];
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = endOfString(text, i);
    if (code !== 0x2d && !isDigit(code)) continue;
    let end = i + 1;
    while (isOfNumber(text.charCodeAt(end))) end++;
    const number = text.slice(i, end);
    if (isLossy(number)) {
      pieces.push(text.slice(from, i), '"', MARK, number, '"');
      from = end;
    }
    i = end - 1;
  }
  pieces.push(text.slice(from));
  return pieces.join('');
}

/** Returns the end of the string whose opening quote is at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = start + 1; ; end++) {
    end = text.indexOf('"', end);
    if (end === -1) return text.length; // not JSON, which JSON.parse will report
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return end;
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Returns whether it is a digit or one of `+-.Ee`. */
function isOfNumber(code: number): boolean {
  return (
    isDigit(code) ||
    code === 0x2b ||
    code === 0x2d ||
    code === 0x2e ||
    code === 0x45 ||
    code === 0x65
  );
}

/** 1e20 is a double and remains one; written out in digits, it is an integer. */
function isLossy(number: string): boolean {
  if (number.length < LOSSY_DIGITS && !/e/i.test(number)) return false;
  const value = Number(number);
  return isRounded(value) && (/^-?\d+$/.test(number) || !Number.isFinite(value));
}

function restore(value: unknown): unknown {
  if (typeof value === 'string') {
    return value.startsWith(MARK) ? JSON.rawJSON(value.slice(MARK.length)) : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const each: unknown = value[i];
      if (typeof each === 'string' || typeof each === 'object') value[i] = restore(each);
    }
    return value;
  }
  const held = value as Record<string, unknown>;
  for (const key in held) {
    const each = held[key];
    if (typeof each === 'string' || typeof each === 'object') held[key] = restore(each);
  }
  return value;
}

/** V8's message quotes the text, which may be personal; the position in it is enough. */
function notJson(error: unknown): NotJson {
  if (error instanceof RangeError) return new NotJson('nested too deep', { cause: error });
  const place = error instanceof Error ? /at position \d+/.exec(error.message)?.[0] : undefined;
  return new NotJson(place === undefined ? 'not JSON' : `not JSON ${place}`, { cause: error });
}

/** Whether a parsed value is a JSON object: not an array, and not a number kept by `JSON.rawJSON`. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value)
  );
}
