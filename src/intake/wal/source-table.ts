import pg from 'pg';
import type { Relation, RelationColumn } from './pgoutput.ts';
import { SourceError } from './source-error.ts';

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
  /** Whether its rows are those of its partitions. Those of tables that inherit from it are never its own. */
  readonly isPartitioned: boolean;
  readonly columns: readonly Column[];
}

/** Returns the table as a query names it that reads its own rows. */
export function ownRowsOf({ schema, name, isPartitioned }: SourceTable): string {
  return `${isPartitioned ? '' : 'only '}${quoted(`${schema}.${name}`)}`;
}

/** Returns `schema.table` as SQL names it. */
export function quoted(name: string): string {
  const [schema = '', ...table] = name.split('.');
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table.join('.'))}`;
}

type Found = Omit<SourceTable, 'columns'> & {
  readonly oid: number;
  /** Whether changes name its rows by nothing. */
  readonly anonymous: boolean;
  readonly columns: readonly Omit<RelationColumn, 'isKey'>[] | null;
};

/**
 * Reads a table from the catalog. Its columns are those that changes carry: generated ones are left out, unless they
 * are stored and the server can publish them (PostgreSQL 18).
 */
export async function readTable(client: pg.Client, name: string): Promise<SourceTable> {
  const { rows } = await client.query<Found>(
    `select c.oid::int8::float8 as oid, current_database() as database, n.nspname as schema, c.relname as name, c.relkind = 'p' as "isPartitioned",
            c.relreplident = 'n' or (c.relreplident = 'd' and not exists
              (select from pg_index i where i.indrelid = c.oid and i.indisprimary)) as anonymous,
            (select json_agg(json_build_object('name', a.attname, 'type', a.atttypid::int8, 'typmod', a.atttypmod)
                             order by a.attnum)
             from pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
               and (a.attgenerated = '' or (a.attgenerated = 's'
                                            and current_setting('server_version_num')::int >= 180000))) as columns
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = to_regclass($1)`,
    [quoted(name)],
  );
  const [found] = rows;
  if (found === undefined) throw new SourceError(`${name} does not exist in the source`);
  const { database, schema, isPartitioned, oid, anonymous, columns } = found;
  // Once such a table is published, its application can no longer update and delete its rows.
  if (anonymous) {
    throw new SourceError(
      `${name} has no primary key, by which changes name its rows: add one, or run 'alter table ${quoted(name)} replica identity full'`,
    );
  }
  const described = await describe(client, oid, columns ?? []);
  return { database, schema, name: found.name, isPartitioned, columns: described };
}

/**
 * Describes a table as it was when changes were made, which may be long ago: columns that it no longer has are
 * described by their type alone.
 */
export async function describeRelation(
  client: pg.Client,
  { oid, schema, name, columns }: Relation,
): Promise<SourceTable> {
  const { rows } = await client.query<{ database: string; isThere: boolean }>(
    `select current_database() as database, exists (select from pg_class where oid = $1::int8::oid) as "isThere"`,
    [oid],
  );
  const { database, isThere } = rows[0]!;
  const described = await describe(client, oid, columns);
  // The key of a table that is gone is its replica identity.
  const own = isThere
    ? described
    : described.map((column, i) => ({ ...column, primaryKey: columns[i]!.isKey }));
  return { database, schema, name, isPartitioned: false, columns: own };
}

async function describe(
  client: pg.Client,
  oid: number,
  columns: readonly Omit<RelationColumn, 'isKey'>[],
): Promise<Column[]> {
  const { rows } = await client.query<Column>(
    `with recursive base (oid, type, typmod) as (
       select oid, oid, -1 from pg_type where typtype <> 'd'
       union all
       select d.oid, base.type, greatest(base.typmod, d.typtypmod)
       from pg_type d join base on d.typbasetype = base.oid where d.typtype = 'd'
     )
     select r.name,
            coalesce(e.typname, 'text') as base,
            coalesce(e.typtype, 'b') as kind,
            coalesce(e.typnamespace = 'pg_catalog'::regnamespace, true) as "isBuiltIn",
            coalesce(e.oid <> t.oid, false) as "isArray",
            greatest(r.typmod, base.typmod) as typmod,
            coalesce(a.attnum = any(i.indkey), false) as "primaryKey",
            coalesce(not a.attnotnull, true) as nullable,
            coalesce(a.atthasdef, false) as "hasDefault"
     from unnest($2::text[], $3::int8[], $4::int[]) with ordinality as r (name, type, typmod, number)
     left join base on base.oid = r.type::oid
     left join pg_type t on t.oid = base.type
     left join pg_type e on e.oid = case when t.typcategory = 'A' then t.typelem else t.oid end
     left join pg_attribute a on a.attrelid = $1::int8::oid and a.attname = r.name and not a.attisdropped
     left join pg_index i on i.indrelid = $1::int8::oid and i.indisprimary
     order by r.number`,
    [
      oid,
      columns.map((column) => column.name),
      columns.map((column) => column.type),
      columns.map((column) => column.typmod),
    ],
  );
  return rows;
}
