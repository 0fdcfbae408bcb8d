import { exampleRow } from './example-row.ts';
import { exampleEvent } from './example-event.ts';
import type { PartSpecification } from './part-specification.ts';
import type { Specification } from './specification.ts';
import { isMessagePart, isTablePart } from './streams.ts';

/** A message that adds a row to a part: as Debezium sends it, or a CloudEvent in structured mode. */
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
  const [ofTables, others] = [all.filter(isTablePart), all.filter(isMessagePart)];
  return rows.map(({ part, row }, i) => {
    if (!isTablePart(part)) {
      const message = exampleEvent(part, others, { n: i + 1, key: 'example', at: now });
      return { part: part.name, row, of: part.count, message };
    }
    const [schema, table] = part.table.split('.');
    // A later call returns later positions, so that rows can be sent again with other values.
    const source = { name: 'dev', schema, table, lsn: now + i, ts_ms: now };
    const after = exampleRow(part, ofTables, { id: i + 1, key: 'example' });
    const message = { op: 'c', before: null, after, source };
    return { part: part.name, row, of: part.count, message };
  });
}
