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
  const textOf = texts(part, key, id);
  let literals = 0;
  for (const [i, column] of part.columns.entries()) {
    const value = row[column];
    if (Object.hasOwn(part.where, column)) {
      if (value !== part.where[column]) return null;
      continue;
    }
    const text = textOf(column);
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
  const textOf = texts(part, key, id);
  const columns: Record<string, unknown> = {};
  for (const [i, column] of part.columns.entries()) {
    if (Object.hasOwn(part.where, column)) columns[column] = part.where[column];
    else {
      const text = textOf(column);
      if (text === undefined) continue; // stored only since a later definition
      columns[column] = (literals >> i) & 1 ? parseExact(text, toUnsafe) : text;
    }
  }
  return columns;
}

/** Returns the text of a column of the key or primary key; undefined for others. */
function texts(part: PartSpecification, key: string, id: string) {
  const ofKey = valuesOf(key, part.key);
  const ofId = valuesOf(id, part.id);
  return (column: string): string | undefined =>
    ofKey[part.key.indexOf(column)] ?? ofId[part.id.indexOf(column)];
}

/** A text of several columns is a JSON array. */
function valuesOf(text: string, columns: readonly string[]): string[] {
  return columns.length === 1 ? [text] : (JSON.parse(text) as string[]);
}

function literalText(value: unknown): string | null {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return JSON.isRawJSON(value) ? (value as { rawJSON: string }).rawJSON : null;
}
