import type { PartSpecification } from '../definitions/part-specification.ts';
import type { Scalar } from '../function.ts';
import { UNAVAILABLE, type Row } from './change.ts';

/** Returns the column of the first filter that rejects a row; null if none does. A column that was not sent matches. */
export function refusedBy(row: Row, { where }: PartSpecification): string | null {
  for (const column in where) {
    const got = Object.hasOwn(row, column) ? row[column] : UNAVAILABLE;
    if (got !== UNAVAILABLE && !matches(got ?? null, where[column]!)) return column;
  }
  return null;
}

/** Returns the number of a part's filters that a row matches. */
export function metFilters(row: Row, part: PartSpecification): number {
  return Object.entries(part.where).filter(([column, expected]) =>
    matches(Object.hasOwn(row, column) ? (row[column] ?? null) : undefined, expected),
  ).length;
}

function matches(got: unknown, expected: Scalar): boolean {
  return got === expected || (JSON.isRawJSON(got) && got.rawJSON === String(expected));
}
