/** An integer of 16 digits or more: a double may not hold it. */
const LONG = /\d{16}/;

/**
 * JSON as it was stored: integers beyond 2^53, which `JSON.parse` rounds, become what `make` makes of
 * their digits.
 */
export function parseExact(text: string, make: (digits: string) => unknown): unknown {
  // the reviver is six times as slow, so only where there may be something to revive
  if (!LONG.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_key, value: unknown, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? '')
      ? make(source!)
      : value,
  );
}
