/** Not text in UTF-8, not JSON, or nested so deep that it can't be read exactly. */
export class NotJson extends Error {
  override readonly name = 'NotJson';
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The bytes as text. Throws {@link NotJson} where they are not UTF-8: a replacement character would be another value. */
export function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new NotJson('not text in UTF-8', { cause: error });
  }
}

/** JSON as JavaScript reads it: integers beyond 2^53 are rounded. Throws {@link NotJson}. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw notJson(error);
  }
}

/**
 * JSON without loss: a number that a double can't hold (an integer beyond 2^53, 1e400) becomes the
 * object of `JSON.rawJSON`, which `JSON.stringify` writes as it came. Throws {@link NotJson}.
 *
 * Takes six times as long as {@link parse} (13 µs against 2 for a row of 13 columns), so read with
 * that first and come here only if a value was rounded.
 */
export function parseExact(text: string): unknown {
  try {
    return JSON.parse(text, keepExact);
  } catch (error) {
    throw notJson(error);
  }
}

/** Whether a number may stand for another one that JSON.parse could not hold. */
export function isRounded(value: number): boolean {
  return Math.abs(value) > Number.MAX_SAFE_INTEGER;
}

function keepExact(_key: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value !== 'number' || !isRounded(value) || source === undefined) return value;
  // 1e20 is a double and stays one; its digits written out are an integer.
  return /^-?\d+$/.test(source) || !Number.isFinite(value) ? JSON.rawJSON(source) : value;
}

/** V8's message quotes the text, which may be personal; the place in it is enough. */
function notJson(error: unknown): NotJson {
  if (error instanceof RangeError) return new NotJson('nested too deep', { cause: error });
  const place = error instanceof Error ? /at position \d+/.exec(error.message)?.[0] : undefined;
  return new NotJson(place === undefined ? 'not JSON' : `not JSON ${place}`, { cause: error });
}
