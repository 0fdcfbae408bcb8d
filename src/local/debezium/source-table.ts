import pg from 'pg';
import { withClient } from '../with-client.ts';

/** The properties of a column that are needed to format its values as Debezium does. */
export interface Column {
  readonly name: string;
  /** Name of its type, or of that of its elements; a domain counts as its base type. */
  readonly base: string;
  /** `pg_type.typtype` of that type. */
  readonly kind: string;
  readonly isBuiltIn: boolean;
  readonly isArray: boolean;
  /** Length or precision, as `pg_attribute.atttypmod`; -1 if there is none. */
  readonly typmod: number;
  readonly primaryKey: boolean;
  readonly nullable: boolean;
  readonly hasDefault: boolean;
}

/** The table whose changes are captured. */
export interface SourceTable {
  readonly database: string;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly Column[];
}

/** Tables by `schema.table`. */
export type SourceTables = ReadonlyMap<string, SourceTable>;

/** Returns `schema.table` as SQL names it. */
export function quoted(name: string): string {
  const [schema = '', ...table] = name.split('.');
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table.join('.'))}`;
}

/** Thrown for a table that does not exist. */
export class NoTable extends Error {
  override readonly name = 'NoTable';
}

/** Reads a table from the catalog of a database, in a session of its own. */
export async function readTableAt(url: string, name: string): Promise<SourceTable> {
  return withClient(url, (client) => readTable(client, name));
}

/** Reads a table from the catalog. */
export async function readTable(client: pg.Client, name: string): Promise<SourceTable> {
  const { rows } = await client.query(
    `with recursive base (oid, type, typmod) as (
       select oid, oid, -1 from pg_type where typtype <> 'd'
       union all
       select d.oid, base.type, greatest(base.typmod, d.typtypmod)
       from pg_type d join base on d.typbasetype = base.oid where d.typtype = 'd'
     )
     select current_database() as database, n.nspname as schema, c.relname as name,
       c.relreplident = 'n' or (c.relreplident = 'd' and i.indrelid is null) as anonymous,
       json_agg(json_build_object(
         'name', a.attname,
         'base', e.typname,
         'kind', e.typtype,
         'isBuiltIn', e.typnamespace = 'pg_catalog'::regnamespace,
         'isArray', e.oid <> t.oid,
         'typmod', greatest(a.atttypmod, base.typmod),
         'primaryKey', coalesce(a.attnum = any(i.indkey), false),
         'nullable', not a.attnotnull,
         'hasDefault', a.atthasdef
       ) order by a.attnum) as columns
     from pg_class c
     join pg_namespace n on n.oid = c.relnamespace
     join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     join base on base.oid = a.atttypid
     join pg_type t on t.oid = base.type
     join pg_type e on e.oid = case when t.typcategory = 'A' then t.typelem else t.oid end
     left join pg_index i on i.indrelid = c.oid and i.indisprimary
     where c.oid = to_regclass($1)
     group by n.nspname, c.relname, c.relreplident, i.indrelid`,
    [quoted(name)],
  );
  if (rows[0] === undefined) throw new NoTable(`${name} does not exist in the source`);
  const { anonymous, ...table } = rows[0] as SourceTable & { anonymous: boolean };
  // Once such a table is published, its application can no longer update and delete its rows.
  if (anonymous) {
    throw new Error(
      `${name} has no primary key, by which changes name its rows: add one, or run 'alter table ${quoted(name)} replica identity full'`,
    );
  }
  return table;
}
