import type { TablePartSpecification } from './part-specification.ts';

/** A row that fills a part, with all columns that the parts on its table need: one without them would be parked. */
export function exampleRow(
  part: TablePartSpecification,
  all: readonly TablePartSpecification[],
  { id, key }: { readonly id: unknown; readonly key: string },
): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  for (const { columns, base64 } of all.filter(({ table }) => table === part.table)) {
    for (const column of columns) row[column] = base64.includes(column) ? 'MQ==' : 1;
  }
  for (const column of part.id) row[column] = id;
  for (const column of part.key) row[column] = key;
  return Object.assign(row, part.where);
}
