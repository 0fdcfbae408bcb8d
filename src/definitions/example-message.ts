import { exampleRow } from './example-row.ts';
import type { PartSpecification, Specification } from './specification.ts';

/** A message that adds a row to a part, in the form in which Debezium sends it. */
export interface ExampleMessage {
  readonly part: string;
  /** Number of the row among those that the part needs, counted from 1. */
  readonly row: number;
  readonly of: number;
  readonly message: object;
}

/** Returns messages with the rows of one set: for each part as many as it needs. */
export function exampleMessages(
  { parts }: Specification,
  all: readonly PartSpecification[],
): ExampleMessage[] {
  const now = Date.now();
  const rows = parts.flatMap((part) =>
    Array.from({ length: part.count }, (_, i) => ({ part, row: i + 1 })),
  );
  return rows.map(({ part, row }, i) => {
    const [schema, table] = part.table.split('.');
    // A later call returns later positions, so that rows can be sent again with other values.
    const source = { name: 'dev', schema, table, lsn: now + i, ts_ms: now };
    const after = exampleRow(part, all, { id: i + 1, key: 'example' });
    const message = { op: 'c', before: null, after, source };
    return { part: part.name, row, of: part.count, message };
  });
}
