import { isUtf8 } from 'node:buffer';
import type { PartSpecification } from '../../definitions/part-specification.ts';
import type { Row } from '../change.ts';

/** A column that a part refers to is not in the message at all, which differs from null. */
export class AbsentColumn extends Error {}

/**
 * Returns the columns of a row that a part stores, with base64 decoded to text. Throws {@link AbsentColumn} if
 * one is not in the message: Debezium sends every column that the table has and the connector captures, so a
 * column that is not there was renamed, dropped, excluded or generated, and its value is unknown.
 */
export function pick(row: Row, { columns, base64 }: PartSpecification): Row {
  const picked: Record<string, unknown> = {};
  for (const column of columns) {
    if (!Object.hasOwn(row, column)) throw new AbsentColumn(column);
    const value = row[column];
    picked[column] = typeof value === 'string' && base64.includes(column) ? decode(value) : value;
  }
  return picked;
}

/** Decodes base64; a value that is not base64-encoded text is returned unchanged. */
function decode(value: string): string {
  const bytes = Buffer.from(value, 'base64');
  return isUtf8(bytes) && bytes.toString('base64') === value ? bytes.toString() : value;
}
