import { UNAVAILABLE } from '../../state/change.ts';
import { isRounded } from '../../lib/exact-json.ts';
import { kindOf, show, InvalidEvent } from '../invalid-event.ts';

/** What Debezium sends for a value it does not have (`unavailable.value.placeholder`, its default). */
const PLACEHOLDER = '__debezium_unavailable_value';
/** The same in a column of bytes. */
const PLACEHOLDER_BASE64 = 'X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==';
/** In an array of uuid: `UUID.nameUUIDFromBytes` of the placeholder. */
const PLACEHOLDER_UUID = 'b68a35a7-17ad-35b3-af2a-ae46edb4545a';
/** In an array of int or bigint: the placeholder's bytes. */
const PLACEHOLDER_BYTES = [...Buffer.from(PLACEHOLDER)];

/**
 * Columns may nest so deep; whatever walks a row later (JSON.stringify, people) need not bound
 * itself. Debezium's own types need four levels.
 */
const MAX_DEPTH = 64;

/**
 * Makes a parsed row fit for {@link Row}, in place: placeholders become `UNAVAILABLE`, keys named
 * `__proto__` go. Returns null where `JSON.parse` has rounded a number, unless `exact` says that the
 * text was read by `parseExact`: the value decides, not a search of the text, so that no integer is
 * missed and the 19 digits of `ts_ns` outside the row cost nothing.
 *
 * Throws {@link Unreadable} for what is no object and for what Postgres can't hold or no source sends.
 */
export function readRow(
  value: unknown,
  name: string,
  exact: boolean,
): Record<string, unknown> | null {
  if (!isObject(value)) {
    throw new InvalidEvent('incomplete-change', `${name} is ${kindOf(value)}, not a row`);
  }
  const row = value;
  for (const column in row) {
    const held = row[column];
    if (isPlaceholder(held)) row[column] = UNAVAILABLE;
    else if (!fits(held, column, exact, 0)) return null;
  }
  if (Object.hasOwn(row, '__proto__')) delete row['__proto__'];
  return row;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value)
  );
}

/** The forms of Debezium's UnchangedToastedPlaceholder: text, bytes, array of those, array of int, hstore. */
function isPlaceholder(value: unknown): boolean {
  if (typeof value === 'string') return value === PLACEHOLDER || value === PLACEHOLDER_BASE64;
  if (typeof value !== 'object' || value === null) return false;
  if (!Array.isArray(value)) return PLACEHOLDER in value;
  return value.length === 1
    ? value[0] === PLACEHOLDER_UUID || (typeof value[0] === 'string' && isPlaceholder(value[0]))
    : value.length === PLACEHOLDER_BYTES.length &&
        value.every((byte, index) => byte === PLACEHOLDER_BYTES[index]);
}

/** False where a number was rounded and the text is to be read exactly. */
function fits(value: unknown, column: string, exact: boolean, depth: number): boolean {
  if (typeof value === 'string') return requireText(value, column);
  if (typeof value === 'number') return exact || !isRounded(value);
  if (typeof value !== 'object' || value === null || JSON.isRawJSON(value)) return true;
  if (depth === MAX_DEPTH) {
    throw new InvalidEvent(
      'bad-value',
      `column ${show(column)} nests deeper than ${MAX_DEPTH} levels`,
    );
  }
  if (Array.isArray(value)) return value.every((item) => fits(item, column, exact, depth + 1));
  if (!isObject(value)) return true;
  if (Object.hasOwn(value, '__proto__')) delete value['__proto__'];
  for (const key in value) if (!fits(value[key], column, exact, depth + 1)) return false;
  return true;
}

/**
 * Postgres holds neither NUL nor half a surrogate pair. Refused by it, they would make the batch
 * they are in be written again in halves; half a pair as a parameter even becomes U+FFFD, and so
 * would two different keys.
 */
function requireText(value: string, column: string): true {
  if (value.includes('\0')) {
    throw new InvalidEvent('bad-value', `column ${show(column)} holds U+0000`);
  }
  if (!value.isWellFormed()) {
    throw new InvalidEvent('bad-value', `column ${show(column)} holds half a surrogate pair`);
  }
  return true;
}
