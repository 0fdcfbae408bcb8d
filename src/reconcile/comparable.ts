import type { PartSpecification } from '../definitions/part-specification.ts';
import type { CapturedTable } from '../intake/wal/captured-table.ts';
import type { Column } from '../intake/wal/source-table.ts';

/** Types whose values Muster holds as SQL writes them, so that a row can be found by its id. */
const SAME_TEXT = new Set('int2 int4 int8 oid bool text varchar bpchar name uuid'.split(' '));
/** Further types whose values, but for nulls, every Debezium connector sends in one form, whatever its settings. */
const SAME_FORM = new Set(
  'float4 float8 json jsonb timestamptz inet cidr macaddr'.split(' ').concat(...SAME_TEXT),
);

/**
 * Returns why the rows of a part can't be compared with what is held of them; null if they can. A connector sends
 * decimals, times and bytes in the form that its settings say, which are not known here; the own reader of the log
 * has no such settings.
 */
export function whyIncomparable(
  part: PartSpecification,
  { table, key }: CapturedTable,
  isOwnReader: boolean,
): string | null {
  if (key.length === 0) return 'its table has no primary key';
  const isKey = key.length === part.id.length && key.every(({ name }) => part.id.includes(name));
  if (!isKey) {
    return `its rows are named by ${part.id.join(', ')}, which is not the primary key of its table`;
  }
  const names = table.columns.find(
    (column) => (column.primaryKey || part.id.includes(column.name)) && !isOf(SAME_TEXT, column),
  );
  if (names !== undefined) {
    return `its rows are named by column ${names.name} of type ${typeOf(names)}, whose values are not held as SQL writes them`;
  }
  if (isOwnReader) return null;
  const decides = (name: string) => part.key.includes(name) || Object.hasOwn(part.where, name);
  const defaulted = table.columns.find(
    (each) => decides(each.name) && each.nullable && each.hasDefault,
  );
  if (defaulted !== undefined) {
    return `column ${defaulted.name} may be null and has a default, which a connector may send instead`;
  }
  const other = table.columns.find(
    (column) => part.columns.includes(column.name) && !isOf(SAME_FORM, column),
  );
  return other === undefined
    ? null
    : `column ${other.name} is of type ${typeOf(other)}, whose values a connector sends in the form that its settings say`;
}

function isOf(types: ReadonlySet<string>, { base, kind, isBuiltIn, isArray }: Column): boolean {
  return !isArray && (kind === 'e' || (isBuiltIn && types.has(base)));
}

function typeOf({ base, isArray }: Column): string {
  return isArray ? `${base}[]` : base;
}
