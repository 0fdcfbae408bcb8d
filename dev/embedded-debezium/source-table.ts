import type pg from 'pg';

/** The properties of a column that are needed to format its values as Debezium does. */
export interface Column {
  readonly name: string;
  readonly kind: 'text' | 'text[]' | 'bytea' | 'double' | 'timestamptz' | 'range';
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

/** Reads the columns from the catalog; a domain counts as its base type. */
export async function readTable(client: pg.Client, name: string): Promise<SourceTable> {
  const { rows } = await client.query(
    `with recursive base (oid, type) as (
       select oid, oid from pg_type where typtype <> 'd'
       union all
       select d.oid, base.type from pg_type d join base on d.typbasetype = base.oid where d.typtype = 'd'
     )
     select current_database() as database, n.nspname as schema, c.relname as name,
       json_agg(json_build_object(
         'name', a.attname,
         'kind', case
           when t.typtype = 'r' then 'range'
           when t.oid = 'bytea'::regtype then 'bytea'
           when t.oid = 'double precision'::regtype then 'double'
           when t.oid = 'timestamptz'::regtype then 'timestamptz'
           when t.oid = 'text[]'::regtype then 'text[]'
           else 'text' end,
         'primaryKey', coalesce(a.attnum = any(i.indkey), false),
         'nullable', not a.attnotnull,
         'hasDefault', a.atthasdef
       ) order by a.attnum) as columns
     from pg_class c
     join pg_namespace n on n.oid = c.relnamespace
     join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     join base on base.oid = a.atttypid
     join pg_type t on t.oid = base.type
     left join pg_index i on i.indrelid = c.oid and i.indisprimary
     where c.oid = $1::regclass
     group by n.nspname, c.relname`,
    [name],
  );
  return rows[0];
}
