import type { PartSpecification } from '../../definitions/part-specification.ts';
import type { Inspector } from '../../state/database/inspector.ts';
import type { SourceContext } from './wal.ts';
import { fine, problem, unchecked, type Finding } from '../finding.ts';
import { PUBLISHES_GENERATED, type SourceTable, type TablePublication } from './catalog.ts';
import { identifier, plural, tableName } from '../plural.ts';

/** Number of sampled rows: enough to see whether a column's values are long, yet cheap on any table. */
const SAMPLE = 10_000;
/** PostgreSQL 17 and newer report whether a value is out of line; in older ones, a value this long may be. */
const MAY_BE_OUT = 500;

/**
 * Checks that the log contains enough about updates and deletes.
 *
 * A delete only needs to contain the row's id, because the member row has the set. An update omits values
 * that are stored out of line and did not change, unless the identity is full: Muster then uses the value
 * it has, and parks the event if it has none. So FULL matters if a key or filter column is actually long;
 * it costs the whole old row in the log of every update and delete.
 */
export async function checkIdentity(
  { inspector, state }: Pick<SourceContext, 'inspector' | 'state'>,
  name: string,
  table: SourceTable,
  parts: readonly PartSpecification[],
): Promise<Finding[]> {
  const { leaves, primaryKey, identityIndex } = table;
  const ids = [...new Set(parts.flatMap(({ id }) => id))];
  const identities = leaves.map(({ identity }) => identity);
  if (identities.every((each) => each === 'f')) return [checkFull(name, table)];
  if (identities.includes('n') || (identities.includes('d') && primaryKey.length === 0)) {
    return [
      problem(
        `${name} has no replica identity: its updates and deletes fail as soon as it is published`,
        primaryKey.length > 0
          ? setIdentity(name, table, 'default')
          : `alter table ${tableName(name)} add primary key (${ids.map(identifier).join(', ')});`,
      ),
    ];
  }
  const logged = identities.includes('i') ? identityIndex : primaryKey;
  const unlisted = table.publications.filter(
    ({ hasList, columns }) => hasList && logged.some((column) => !columns.includes(column)),
  );
  if (unlisted.length > 0) return [refusedList(name, unlisted)];
  const unnamed = ids.filter((column) => !logged.includes(column));
  if (unnamed.length > 0) {
    return [
      problem(
        `${name}: a delete contains ${logged.join(', ')} but not ${unnamed.join(', ')}, which identifies the row: deleted rows stay in their sets`,
        ids.every((column) => primaryKey.includes(column))
          ? setIdentity(name, table, 'default')
          : (setFull(name, table) ?? `use ${logged.join(', ')} as the id of its parts`),
      ),
    ];
  }
  const deciding = new Set(parts.flatMap(({ key, where }) => [...key, ...Object.keys(where)]));
  const long = table.columns
    .filter((each) => deciding.has(each.name) && each.isLong && !logged.includes(each.name))
    .map((each) => each.name);
  const message = `${name}: ${logged.join(', ')}`;
  if (long.length === 0) return [fine(message)];
  const unsent = await unsentColumns(state, name);
  const sample = await sampleOf(inspector, name, long);
  const out = long.filter((column, i) => unsent.includes(column) || sample.out[i]! > 0);
  if (out.length > 0) {
    return [
      problem(
        `${name}: ${out.join(', ')} may be stored out of line, and updates that leave it unchanged do not send it: if Muster does not have the row, they are parked`,
        setFull(name, table) ??
          `use a column other than ${out.join(', ')}: with replica identity full and a virtual generated column the table could not be updated`,
      ),
    ];
  }
  if (sample.rows === 0) {
    return [
      unchecked(
        `${name} has no rows yet, so it is unknown whether ${long.join(', ')} is stored out of line`,
      ),
    ];
  }
  return [
    fine(
      `${message}; ${long.join(', ')} short in ${plural(sample.rows, 'row')}, so full is not needed`,
    ),
  ];
}

/**
 * Checks a table whose identity is full. PostgreSQL rejects every update and delete of it, unless every
 * publication that sends them has no column list and sends all columns, including generated ones.
 */
function checkFull(name: string, table: SourceTable): Finding {
  const lists = table.publications.filter(({ hasList }) => hasList);
  if (lists.length > 0) return refusedList(name, lists);
  const generated = generatedOf(table);
  const lacking = table.publications.filter(({ columns }) =>
    generated.some((column) => !columns.includes(column)),
  );
  if (lacking.length === 0) return fine(`${name}: full`);
  const list = lacking.map((each) => each.name).join(', ');
  return problem(
    `${name}: full, and ${list} does not send ${generated.join(', ')}, which is generated: updates and deletes of the table fail`,
    hasVirtual(table)
      ? table.primaryKey.length > 0
        ? setIdentity(name, table, 'default')
        : `alter table ${tableName(name)} add primary key (<its columns>); ${setIdentity(name, table, 'default')}`
      : lacking.map(sendGenerated).join(' '),
  );
}

/** Returns the generated columns of a full identity: PostgreSQL includes those that it can publish. */
function generatedOf({ server, columns }: SourceTable): string[] {
  if (server < PUBLISHES_GENERATED) return [];
  return columns.filter(({ generated }) => generated !== null).map((each) => each.name);
}

function hasVirtual({ columns }: SourceTable): boolean {
  return columns.some(({ generated }) => generated === 'virtual');
}

function refusedList(name: string, publications: readonly TablePublication[]): Finding {
  const list = publications.map((each) => each.name).join(', ');
  return problem(
    `${name}: the column list in ${list} does not cover its replica identity: its updates and deletes fail`,
    publications.map((each) => withoutList(name, each)).join(' '),
  );
}

function withoutList(table: string, { name }: TablePublication): string {
  const pub = identifier(name);
  return `alter publication ${pub} drop table ${tableName(table)}; alter publication ${pub} add table ${tableName(table)};`;
}

function sendGenerated({ name }: TablePublication): string {
  return `alter publication ${identifier(name)} set (publish_generated_columns = stored);`;
}

/** Returns the statements that set the full identity and keep the table updatable; null if impossible. */
function setFull(name: string, table: SourceTable): string | null {
  const generated = generatedOf(table);
  if (generated.length > 0 && hasVirtual(table)) return null;
  const { publications } = table;
  return [
    ...publications.filter(({ hasList }) => hasList).map((each) => withoutList(name, each)),
    ...publications
      .filter(({ columns }) => generated.some((column) => !columns.includes(column)))
      .map(sendGenerated),
    setIdentity(name, table, 'full'),
  ].join(' ');
}

/** Sets the identity of each partition, as PostgreSQL does not pass on that of the partitioned table. */
function setIdentity(name: string, { leaves }: SourceTable, identity: 'full' | 'default'): string {
  const names = leaves.length > 0 ? leaves.map((each) => each.name) : [name];
  return names
    .map((each) => `alter table ${tableName(each)} replica identity ${identity};`)
    .join(' ');
}

/** Returns the columns of a table that an update omitted although Muster did not have its row. */
async function unsentColumns(state: Inspector | null, table: string): Promise<string[]> {
  if (state === null) return [];
  const rows = await state.query<{ name: string }>(
    `select distinct substring(detail from '^column ''([^'']*)'' of ') as name from muster.parked
     where reason = 'unavailable-column' and starts_with(substring(detail from '^column ''[^'']*'' of (.*)$'), $1 || ' ')`,
    [table],
  );
  return rows.map(({ name }) => name);
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
