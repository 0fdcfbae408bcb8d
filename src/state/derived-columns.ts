/**
 * The columns of a row that follow from its primary key, its set's key and its part's filters are not stored: they
 * were a quarter of the bytes of a row. What does not follow is whether a value is text or a JSON literal.
 */
import type { PartSpecification } from '../definitions/part-specification.ts';
import { parseExact } from '../lib/exact-integers.ts';
import type { Row } from './change.ts';

/** The bits of a `smallint` without its sign. */
const MAX_COLUMNS = 15;

/**
 * Returns a bit for each of the part's columns, the lowest for the first: 1 = the value is a number or a boolean.
 * Returns null unless {@link deriveColumns} restores exactly this row.
 */
export function literalsOf(
  row: Row,
  part: PartSpecification,
  key: string,
  id: string,
): number | null {
  if (part.columns.length > MAX_COLUMNS) return null;
  const places = placesOf(part);
  const texts = textsOf(part, key, id);
  let literals = 0;
  for (let i = 0; i < places.length; i++) {
    const column = part.columns[i]!;
    const place = places[i]!;
    const value = row[column];
    if (place === FILTER) {
      if (value !== part.where[column]) return null;
      continue;
    }
    const text = texts[place];
    if (value === text) continue;
    if (literalText(value) !== text) return null;
    literals |= 1 << i;
  }
  return literals;
}

/** Restores the columns of a row. `toUnsafe` makes the value of an integer beyond 2^53 from its text. */
export function deriveColumns(
  part: PartSpecification,
  key: string,
  id: string,
  literals: number,
  toUnsafe: (text: string) => unknown,
): Record<string, unknown> {
  const texts = textsOf(part, key, id);
  const columns: Record<string, unknown> = {};
  for (const [i, place] of placesOf(part).entries()) {
    const column = part.columns[i]!;
    if (place === FILTER) columns[column] = part.where[column];
    else {
      const text = texts[place];
      if (text === undefined) continue; // stored only since a later definition
      columns[column] = (literals >> i) & 1 ? parseExact(text, toUnsafe) : text;
    }
  }
  return columns;
}

/** The place of a column that a filter gives; that of a column which nothing gives is -1. */
const FILTER = -2;

const PLACES = new WeakMap<PartSpecification, readonly number[]>();

/** Returns where the value of each column comes from: a filter, or an index into {@link textsOf}. */
function placesOf(part: PartSpecification): readonly number[] {
  let places = PLACES.get(part);
  if (places === undefined) {
    places = part.columns.map((column) => placeOf(column, part));
    PLACES.set(part, places);
  }
  return places;
}

function placeOf(column: string, { where, key, id }: PartSpecification): number {
  return Object.hasOwn(where, column) ? FILTER : [...key, ...id].indexOf(column);
}

/** Returns the texts of the columns of the key, then those of the primary key. */
function textsOf(part: PartSpecification, key: string, id: string): readonly string[] {
  return [...valuesOf(key, part.key), ...valuesOf(id, part.id)];
}

/** A text of several columns is a JSON array. */
function valuesOf(text: string, columns: readonly string[]): string[] {
  return columns.length === 1 ? [text] : (JSON.parse(text) as string[]);
}

function literalText(value: unknown): string | null {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return JSON.isRawJSON(value) ? (value as { rawJSON: string }).rawJSON : null;
}
