import type { Specification } from '../../definitions/specification.ts';
import { isTablePart, tablesOf } from '../../definitions/streams.ts';
import { canArrive, readTables, type SourceTable } from './catalog.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';
import type { SourceContext } from './wal.ts';
import { identifier, plural, tableName } from '../plural.ts';
import { ADVICE } from './reader.ts';

/** The connector's own tables, for signals and heartbeats. */
const OF_CONNECTOR = /^debezium\.|\.(dbz|debezium)_/;

interface Publication {
  readonly all: boolean;
  /** Whether it publishes Muster's whole schema. */
  readonly schema: boolean;
  readonly whole: boolean;
  readonly root: boolean;
}

interface Published {
  readonly table: string;
  readonly columns: string[];
  readonly filter: string | null;
}

export const publication: Check<SourceContext> = {
  id: 'source.publication',
  title: 'publication',
  async run({ inspector, publication: name, specifications, reader }) {
    const tables = tablesOf(specifications).toSorted();
    const known = await readTables(inspector, tables);
    const [found] = await inspector.query<Publication>(
      `select puballtables as all, pubviaroot as root,
              exists (select from pg_publication_namespace pn join pg_namespace n on n.oid = pn.pnnspid
                      where pn.pnpubid = p.oid and n.nspname = 'muster') as schema,
              pubinsert and pubupdate and pubdelete and pubtruncate as whole
       from pg_publication p where pubname = $1`,
      [name],
    );
    if (found === undefined) {
      const [, remedy] = ADVICE.muster.absent;
      const byHand = create(name, tables, known);
      return [problem(`there is no publication ${name}`, reader === 'muster' ? remedy : byHand)];
    }
    const published = await inspector.query<Published>(
      `select schemaname || '.' || tablename as table, attnames::text[] as columns, rowfilter as filter
       from pg_publication_tables where pubname = $1 order by 1`,
      [name],
    );
    const problems = [
      ...ownTables(name, found, published, tables, known),
      ...completeness(name, found),
      ...tables.flatMap((table) => {
        const there = published.find((each) => each.table === table);
        const needed = columnsOf(specifications, table);
        return covers(name, found, table, there, known.get(table), needed);
      }),
    ];
    return problems.length > 0 ? problems : [fine(summary(name, tables, published))];
  },
};

function columnsOf(specifications: readonly Specification[], table: string): string[] {
  const parts = specifications
    .flatMap((each) => each.parts)
    .filter((part) => isTablePart(part) && part.table === table);
  return [...new Set(parts.flatMap(({ columns }) => columns))];
}

function ownTables(
  name: string,
  { all, schema }: Publication,
  published: readonly Published[],
  tables: readonly string[],
  known: ReadonlyMap<string, SourceTable>,
): Finding[] {
  const own = published.filter(({ table }) => table.startsWith('muster.'));
  if (own.length === 0) return [];
  const pub = identifier(name);
  return [
    problem(
      `${name} publishes ${plural(own.length, 'table')} of Muster's own: each ingested event causes further changes, endlessly`,
      all
        ? `drop publication ${pub}; ${create(name, tables, known)}   -- while the connector is stopped`
        : `alter publication ${pub} drop ${schema ? 'tables in schema muster' : `table ${own.map(({ table }) => tableName(table)).join(', ')}`};`,
    ),
  ];
}

function completeness(name: string, { whole }: Publication): Finding[] {
  if (whole) return [];
  return [
    problem(
      `${name} does not publish every kind of change: deleted or moved rows stay in their sets`,
      `alter publication ${identifier(name)} set (publish = 'insert, update, delete, truncate');`,
    ),
  ];
}

function covers(
  name: string,
  { root }: Publication,
  table: string,
  published: Published | undefined,
  known: SourceTable | undefined,
  needed: readonly string[],
): Finding[] {
  const pub = identifier(name);
  const isPartitioned = known?.kind === 'p';
  const viaRoot = `alter publication ${pub} set (publish_via_partition_root = true);`;
  const generated = `alter publication ${pub} set (publish_generated_columns = stored);`;
  const needsGenerated =
    known?.columns.some((each) => needed.includes(each.name) && canArrive(each, known.server)) ??
    false;
  if (published === undefined && !(isPartitioned && !root)) {
    return [
      problem(
        `${name} does not publish ${table}: none of its changes arrive`,
        [
          `alter publication ${pub} add table ${tableName(table)};`,
          ...(needsGenerated ? [generated] : []),
        ].join(' '),
      ),
    ];
  }
  if (isPartitioned && !root) {
    return [
      problem(
        `${table} is partitioned, and ${name} publishes each partition under its own name`,
        needsGenerated ? `${viaRoot} ${generated}` : viaRoot,
      ),
    ];
  }
  return checkColumns(name, table, published!, known, needed);
}

/** Checks that a publication sends every column that is needed, of every row. */
function checkColumns(
  name: string,
  table: string,
  { columns, filter }: Published,
  known: SourceTable | undefined,
  needed: readonly string[],
): Finding[] {
  const pub = identifier(name);
  const whole = `alter publication ${pub} drop table ${tableName(table)}; alter publication ${pub} add table ${tableName(table)};`;
  const isGenerated = (column: string) =>
    known?.columns.find((each) => each.name === column)?.generated != null;
  const lacking = needed.filter((column) => !columns.includes(column));
  // columns that no publication can send are reported by the check of the table
  const plain = lacking.filter((column) => !isGenerated(column));
  const generated = lacking.filter((column) =>
    known?.columns.some((each) => each.name === column && canArrive(each, known.server)),
  );
  const problems: Finding[] = [];
  if (plain.length > 0 || generated.length > 0) {
    const hasList = known?.publications.find((each) => each.name === name)?.hasList ?? false;
    const remedy = [
      ...(plain.length > 0 || hasList ? [whole] : []),
      ...(generated.length > 0
        ? [`alter publication ${pub} set (publish_generated_columns = stored);`]
        : []),
    ];
    const list = [...plain, ...generated.map((column) => `${column} (generated)`)].join(', ');
    problems.push(problem(`${name} does not send ${list} of ${table}`, remedy.join(' ')));
  }
  if (filter !== null) {
    problems.push(
      problem(
        `${name} sends only rows of ${table} with ${filter}: a row that stops matching is not updated any more`,
        `${whole}   -- and filter in the function instead, with where`,
      ),
    );
  }
  return problems;
}

/** Returns the statement that creates a publication of these tables with all columns that can be sent. */
function create(
  name: string,
  tables: readonly string[],
  known: ReadonlyMap<string, SourceTable>,
): string {
  const all = [...known.values()];
  const options = [
    ...(all.some(({ kind }) => kind === 'p') ? ['publish_via_partition_root = true'] : []),
    ...(all.some(({ columns, server }) => columns.some((each) => canArrive(each, server)))
      ? ['publish_generated_columns = stored']
      : []),
  ];
  const settings = options.length > 0 ? ` with (${options.join(', ')})` : '';
  return `create publication ${identifier(name)} for table ${tables.map(tableName).join(', ')}${settings};`;
}

/** Includes published tables that no function uses: their changes are read, sent and ignored. */
function summary(name: string, tables: readonly string[], published: readonly Published[]): string {
  const others = published
    .map(({ table }) => table)
    .filter((each) => !tables.includes(each) && !OF_CONNECTOR.test(each));
  const also =
    others.length > 0 ? `; not used by any function: ${others.slice(0, 5).join(', ')}` : '';
  const more = others.length > 5 ? ` and ${others.length - 5} more` : '';
  return `${name} publishes ${tables.join(', ')}${also}${more}`;
}
