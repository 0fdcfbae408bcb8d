import type { PartSpecification } from '../definitions/part-specification.ts';
import type { Column, SourceTable } from '../intake/wal/source-table.ts';

/** Types whose values every Debezium connector sends in the same form, whatever its settings. */
const PLAIN = new Set(
  'int2 int4 int8 oid float4 float8 bool text varchar bpchar name uuid json jsonb timestamptz inet cidr macaddr'.split(
    ' ',
  ),
);

/**
 * Returns why the rows of a part can't be compared with what is held of them; null if they can. A connector sends
 * decimals, times and bytes in the form that its settings say, which are not known here; its own log reader has none.
 */
export function whyIncomparable(
  part: PartSpecification,
  table: SourceTable,
  isOwnReader: boolean,
): string | null {
  if (!table.columns.some(({ primaryKey }) => primaryKey)) {
    return 'its table has no primary key';
  }
  if (isOwnReader) return null;
  const column = table.columns.find((each) => part.columns.includes(each.name) && !isPlain(each));
  if (column === undefined) return null;
  return `column ${column.name} is of type ${column.base}${column.isArray ? '[]' : ''}, whose values a connector sends in the form that its settings say`;
}

function isPlain({ base, kind, isArray }: Column): boolean {
  return !isArray && (kind === 'e' || PLAIN.has(base));
}
