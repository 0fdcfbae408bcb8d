import type { PartSpecification } from '../state/definition.ts';
import type { Inspector } from '../state/inspector.ts';
import { fine, problem, unchecked, type Finding } from './finding.ts';
import type { SourceTable } from './source-tables.ts';
import { identifier, plural, tableName } from './words.ts';

/** Rows that are looked at: enough to see whether a column's values are long, cheap on any table. */
const SAMPLE = 10_000;
/** PostgreSQL 17 tells whether a value is out of line; before it, one of so many bytes may be. */
const MAY_BE_OUT = 500;

/**
 * Does the log say enough of updates and deletes?
 *
 * A delete need bring no more than the row's id: the member row knows the set. An update leaves out
 * what is stored out of line and did not change, unless the identity is full: Muster then takes the
 * value it knows, and parks the event where it knows none. So FULL matters where a key or filter
 * column is long in fact; it costs the whole old row in the log of every update and delete.
 */
export async function judgeIdentity(
  inspector: Inspector,
  name: string,
  table: SourceTable,
  parts: readonly PartSpecification[],
): Promise<Finding[]> {
  const { identities, primaryKey, identityIndex } = table;
  const full = `alter table ${tableName(name)} replica identity full;`;
  const ids = [...new Set(parts.flatMap(({ id }) => id))];
  if (identities.every((each) => each === 'f')) return [fine(`${name}: full`)];
  if (identities.includes('n') || (identities.includes('d') && primaryKey.length === 0)) {
    return [
      problem(
        `${name} has no replica identity: its updates and deletes fail as soon as it is published`,
        primaryKey.length > 0
          ? `alter table ${tableName(name)} replica identity default;`
          : `alter table ${tableName(name)} add primary key (${ids.map(identifier).join(', ')});`,
      ),
    ];
  }
  const logged = identities.includes('i') ? identityIndex : primaryKey;
  const unnamed = ids.filter((column) => !logged.includes(column));
  if (unnamed.length > 0) {
    return [
      problem(
        `${name}: a delete brings ${logged.join(', ')} and not ${unnamed.join(', ')}, which tells the row: deleted rows stay in their sets`,
        ids.every((column) => primaryKey.includes(column))
          ? `alter table ${tableName(name)} replica identity default;`
          : full,
      ),
    ];
  }
  const deciding = new Set(parts.flatMap(({ key, where }) => [...key, ...Object.keys(where)]));
  const long = table.columns.filter(
    (column) => deciding.has(column.name) && column.isLong && !logged.includes(column.name),
  );
  const says = `${name}: ${logged.join(', ')}`;
  if (long.length === 0) return [fine(says)];
  const names = long.map((column) => column.name);
  const sample = await sampleOf(inspector, name, names);
  if (sample.rows === 0) {
    return [
      unchecked(
        `${name} has no row yet: are values of ${names.join(', ')} ever stored out of line?`,
      ),
    ];
  }
  const out = names.filter((_, i) => sample.out[i]! > 0);
  if (out.length > 0) {
    return [
      problem(
        `${name}: ${out.join(', ')} may be stored out of line, and updates that leave it unchanged do not send it: where nothing is known of the row they are parked`,
        full,
      ),
    ];
  }
  return [
    fine(
      `${says}; ${names.join(', ')} short in ${plural(sample.rows, 'row')}, so full is not needed`,
    ),
  ];
}

async function sampleOf(
  inspector: Inspector,
  name: string,
  columns: readonly string[],
): Promise<{ rows: number; out: number[] }> {
  const [server] = await inspector.query<{ number: number }>(
    `select current_setting('server_version_num')::int as number`,
  );
  const isOut = (column: string) =>
    server!.number >= 170_000
      ? `pg_column_toast_chunk_id(${identifier(column)}) is not null`
      : `pg_column_size(${identifier(column)}) >= ${MAY_BE_OUT}`;
  const counts = columns.map((column) => `count(*) filter (where ${isOut(column)})::int`);
  const [row] = await inspector.query<{ rows: number; out: number[] }>(
    `select count(*)::int as rows, array[${counts.join(', ')}] as out
     from (select ${columns.map(identifier).join(', ')} from ${tableName(name)} limit ${SAMPLE}) as sample`,
  );
  return row!;
}
