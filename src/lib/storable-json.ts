import { isObject, isRounded } from './exact-json.ts';

/**
 * Maximum nesting of a value, so that code that walks it later (JSON.stringify, say) needs no bound of its own.
 * Debezium's types need four levels.
 */
const MAX_DEPTH = 64;

/** Returned for a number that `JSON.parse` has rounded, so that the text must be parsed exactly. */
export const ROUNDED: unique symbol = Symbol('rounded');

/**
 * Returns why PostgreSQL can't store a parsed JSON value, phrased to follow its name; {@link ROUNDED} if a number of
 * it was rounded, unless `exact` is true; null if it can be stored. Deletes keys named `__proto__` inside it.
 *
 * PostgreSQL stores neither NUL nor half a surrogate pair. It would refuse the whole batch, which would then be
 * written again in halves. Half a pair in a parameter even becomes U+FFFD, which would make two different keys equal.
 */
export function flawOf(value: unknown, exact: boolean, depth = 0): string | typeof ROUNDED | null {
  if (typeof value === 'string') {
    if (value.includes('\0')) return 'holds U+0000';
    return value.isWellFormed() ? null : 'holds half a surrogate pair';
  }
  if (typeof value === 'number') return exact || !isRounded(value) ? null : ROUNDED;
  if (typeof value !== 'object' || value === null || JSON.isRawJSON(value)) return null;
  if (depth === MAX_DEPTH) return `nests deeper than ${MAX_DEPTH} levels`;
  if (Array.isArray(value)) {
    for (const item of value) {
      const flaw = flawOf(item, exact, depth + 1);
      if (flaw !== null) return flaw;
    }
    return null;
  }
  if (!isObject(value)) return null;
  if (Object.hasOwn(value, '__proto__')) delete value['__proto__'];
  for (const key in value) {
    const flaw = flawOf(value[key], exact, depth + 1);
    if (flaw !== null) return flaw;
  }
  return null;
}
