/** Values as Kafka Connect's JsonConverter writes them. */

/** Digits with which a 32-bit float can be written so that it is read as the same float. */
const FLOAT_DIGITS = [6, 7, 8, 9];

/** Returns an integer as JSON: exactly, if need be as the object of `JSON.rawJSON`. */
export function integer(value: bigint): unknown {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : JSON.rawJSON(String(value));
}

/** JSON has no infinities; Jackson, which JsonConverter uses, writes them as text. */
export function double(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

/** Returns the shortest decimal that is this 32-bit float: 0.1, not 0.10000000149011612. */
export function float(value: number): number | string {
  if (!Number.isFinite(value)) return String(value);
  for (const digits of FLOAT_DIGITS) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return rounded;
  }
  return value;
}

/** A column may be named `__proto__`, which an assignment would not store. */
export function object(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries(entries);
}
