/** So many digits may be more than a double holds. */
const LONG = 16;

/**
 * JSON as it was stored: integers beyond 2^53, which `JSON.parse` rounds, become what `make` makes of
 * their digits.
 */
export function parseExact(text: string, make: (digits: string) => unknown): unknown {
  // the reviver is six times as slow, so only where there may be something to revive
  if (!hasLong(text)) return JSON.parse(text);
  return JSON.parse(text, (_key, value: unknown, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? '')
      ? make(source!)
      : value,
  );
}

/** Looks at every 16th character only: /\d{16}/ costs as much as the parsing, more where there are uuids. */
function hasLong(text: string): boolean {
  for (let at = LONG - 1; at < text.length; at += LONG) {
    let from = at;
    let to = at;
    while (isDigit(text, from - 1)) from--;
    while (isDigit(text, to)) to++;
    if (to - from >= LONG) return true;
  }
  return false;
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 48 && code <= 57;
}
