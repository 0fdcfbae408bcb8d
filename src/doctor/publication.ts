import type { Specification } from '../state/definition.ts';
import { type Check, fine, problem, type Finding } from './finding.ts';
import type { SourceContext } from './source.ts';
import { identifier, plural, tableName } from './words.ts';

/** Tables of the connector's own, for signals and heartbeats. */
const OF_CONNECTOR = /^debezium\.|\.(dbz|debezium)_/;

interface Publication {
  readonly all: boolean;
  /** Muster's schema as a whole. */
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
  async run({ inspector, publication: name, specifications }) {
    const tables = tablesOf(specifications);
    const [found] = await inspector.query<Publication>(
      `select puballtables as all, pubviaroot as root,
              exists (select from pg_publication_namespace pn join pg_namespace n on n.oid = pn.pnnspid
                      where pn.pnpubid = p.oid and n.nspname = 'muster') as schema,
              pubinsert and pubupdate and pubdelete and pubtruncate as whole
       from pg_publication p where pubname = $1`,
      [name],
    );
    if (found === undefined) {
      return [
        problem(
          `there is no publication ${name}`,
          `create publication ${identifier(name)} for table ${tables.map(tableName).join(', ')};`,
        ),
      ];
    }
    const published = await inspector.query<Published>(
      `select schemaname || '.' || tablename as table, attnames::text[] as columns, rowfilter as filter
       from pg_publication_tables where pubname = $1 order by 1`,
      [name],
    );
    const partitioned = await inspector.query<{ table: string }>(
      `select n.nspname || '.' || c.relname as table from pg_class c
       join pg_namespace n on n.oid = c.relnamespace
       where c.relkind = 'p' and n.nspname || '.' || c.relname = any ($1)`,
      [tables],
    );
    const problems = [
      ...ownTables(name, found, published, tables),
      ...completeness(name, found),
      ...tables.flatMap((table) =>
        covers(
          name,
          found,
          table,
          published.find((each) => each.table === table),
          partitioned.some((each) => each.table === table),
          columnsOf(specifications, table),
        ),
      ),
    ];
    return problems.length > 0 ? problems : [fine(summary(name, tables, published))];
  },
};

/** Every table that a part of these functions names. */
export function tablesOf(specifications: readonly Specification[]): string[] {
  const tables = specifications.flatMap(({ parts }) => parts.map(({ table }) => table));
  return [...new Set(tables)].toSorted();
}

function columnsOf(specifications: readonly Specification[], table: string): string[] {
  const parts = specifications.flatMap((each) => each.parts).filter((each) => each.table === table);
  return [...new Set(parts.flatMap(({ columns }) => columns))];
}

function ownTables(
  name: string,
  { all, schema }: Publication,
  published: readonly Published[],
  tables: readonly string[],
): Finding[] {
  const own = published.filter(({ table }) => table.startsWith('muster.'));
  if (own.length === 0) return [];
  const pub = identifier(name);
  const list = tables.map(tableName).join(', ');
  return [
    problem(
      `${name} holds ${plural(own.length, 'table')} of Muster's own: each event it files makes further changes, without end`,
      all
        ? `drop publication ${pub}; create publication ${pub} for table ${list};   -- while the connector is stopped`
        : `alter publication ${pub} drop ${schema ? 'tables in schema muster' : `table ${own.map(({ table }) => tableName(table)).join(', ')}`};`,
    ),
  ];
}

function completeness(name: string, { whole }: Publication): Finding[] {
  if (whole) return [];
  return [
    problem(
      `${name} does not publish every kind of change: rows that go or move stay in their sets`,
      `alter publication ${identifier(name)} set (publish = 'insert, update, delete, truncate');`,
    ),
  ];
}

function covers(
  name: string,
  { root }: Publication,
  table: string,
  published: Published | undefined,
  isPartitioned: boolean,
  needed: readonly string[],
): Finding[] {
  const pub = identifier(name);
  if (isPartitioned && !root) {
    return [
      problem(
        `${table} is partitioned, and ${name} publishes each partition under its own name`,
        `alter publication ${pub} set (publish_via_partition_root = true);`,
      ),
    ];
  }
  if (published === undefined) {
    return [
      problem(
        `${name} does not hold ${table}: none of its changes comes`,
        `alter publication ${pub} add table ${tableName(table)};`,
      ),
    ];
  }
  const whole = `alter publication ${pub} drop table ${tableName(table)}; alter publication ${pub} add table ${tableName(table)};`;
  const lacking = needed.filter((column) => !published.columns.includes(column));
  const problems: Finding[] = [];
  if (lacking.length > 0) {
    problems.push(problem(`${name} does not send ${lacking.join(', ')} of ${table}`, whole));
  }
  if (published.filter !== null) {
    problems.push(
      problem(
        `${name} sends only rows of ${table} with ${published.filter}: one that stops to match is never heard of again`,
        `${whole}   -- and filter in the function, by where`,
      ),
    );
  }
  return problems;
}

/** Says too which tables no function names: their changes are read, sent and ignored. */
function summary(name: string, tables: readonly string[], published: readonly Published[]): string {
  const others = published
    .map(({ table }) => table)
    .filter((each) => !tables.includes(each) && !OF_CONNECTOR.test(each));
  const also = others.length > 0 ? `; of no function: ${others.slice(0, 5).join(', ')}` : '';
  const more = others.length > 5 ? ` and ${others.length - 5} more` : '';
  return `${name} holds ${tables.join(', ')}${also}${more}`;
}
