import type { PartSpecification } from '../definitions/specification.ts';
import type { Scalar } from '../function.ts';
import { UNAVAILABLE, type Row } from './change.ts';

/** The column of the first filter that refuses a row, whatever the source did not send of it; null: none. */
export function refusedBy(row: Row, { where }: PartSpecification): string | null {
  for (const column in where) {
    const got = Object.hasOwn(row, column) ? row[column] : UNAVAILABLE;
    if (got !== UNAVAILABLE && !agrees(got ?? null, where[column]!)) return column;
  }
  return null;
}

/** How many filters of a part a row meets. */
export function metFilters(row: Row, part: PartSpecification): number {
  return Object.entries(part.where).filter(([column, wanted]) =>
    agrees(Object.hasOwn(row, column) ? (row[column] ?? null) : undefined, wanted),
  ).length;
}

function agrees(got: unknown, wanted: Scalar): boolean {
  return got === wanted || (JSON.isRawJSON(got) && got.rawJSON === String(wanted));
}
