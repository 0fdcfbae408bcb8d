/** Reads tables of the source database from its catalog. */
import type { Inspector } from '../../state/database/inspector.ts';

/** A column from the catalog; `base` is the type beneath a domain. */
export interface SourceColumn {
  readonly name: string;
  readonly type: string;
  readonly base: string;
  /** The base type with its length, precision or scale, in SQL syntax. */
  readonly baseType: string;
  /** `atttypmod`, or that of the domain; -1 if there is none. */
  readonly typmod: number;
  /** Whether Postgres considers values equal that differ only in case or accents. */
  readonly isCaseless: boolean;
  /** `b`ase, `e`num, `r`ange, `m`ultirange, `c`omposite */
  readonly kind: string;
  readonly isArray: boolean;
  readonly isBuiltIn: boolean;
  /** Whether its values may be stored out of line (TOAST). */
  readonly isLong: boolean;
  readonly generated: 'stored' | 'virtual' | null;
  /** Labels of an enum. */
  readonly labels: string[] | null;
}

/** A table from the catalog. */
export interface SourceTable {
  readonly kind: string;
  readonly isUnlogged: boolean;
  /** `server_version_num` */
  readonly server: number;
  /** The table itself, or its partitions, each with its identity: `d`efault, `f`ull, `i`ndex, `n`othing. */
  readonly leaves: { readonly name: string; readonly identity: string }[];
  readonly primaryKey: string[];
  /** Columns of the index that REPLICA IDENTITY USING INDEX names. */
  readonly identityIndex: string[];
  /** Sets of columns that are unique and never null. */
  readonly unique: string[][];
  readonly columns: SourceColumn[];
  /** Publications that send its updates or deletes. */
  readonly publications: TablePublication[];
}

/** A table in a publication. */
export interface TablePublication {
  readonly name: string;
  readonly columns: string[];
  /** Whether the publication lists its columns explicitly. */
  readonly hasList: boolean;
}

/** PostgreSQL 18 and newer can publish stored generated columns. */
export const PUBLISHES_GENERATED = 180_000;

/** Returns whether it is a generated column that a publication can send. */
export function canArrive({ generated }: SourceColumn, server: number): boolean {
  return generated === 'stored' && server >= PUBLISHES_GENERATED;
}

/** Returns whether it is a generated column that no publication can send. */
export function neverArrives(column: SourceColumn, server: number): boolean {
  const { generated } = column;
  return generated !== null && !canArrive(column, server);
}

export async function readTable(inspector: Inspector, name: string): Promise<SourceTable | null> {
  const [schema, table] = name.split('.');
  const [row] = await inspector.query<SourceTable>(SOURCE_TABLE, [schema, table]);
  return row ?? null;
}

/** Returns the tables that exist, by name. */
export async function readTables(
  inspector: Inspector,
  names: readonly string[],
): Promise<Map<string, SourceTable>> {
  const found = new Map<string, SourceTable>();
  for (const name of names) {
    const table = await readTable(inspector, name);
    if (table !== null) found.set(name, table);
  }
  return found;
}

const SOURCE_TABLE = `
with recursive base (oid, type, typmod) as (
  select oid, oid, -1 from pg_type where typtype <> 'd'
  union all
  select d.oid, base.type, case when d.typtypmod >= 0 then d.typtypmod else base.typmod end
  from pg_type d join base on d.typbasetype = base.oid where d.typtype = 'd'
), relation as (
  select c.* from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = $1 and c.relname = $2
), leaf as (
  select c.* from relation r cross join pg_partition_tree(r.oid) t join pg_class c on c.oid = t.relid where t.isleaf
  union all
  select r.* from relation r where r.relkind not in ('p', 'I') and not r.relispartition
), published as (
  select distinct on (p.pubname) p.pubname, t.attnames as columns,
    exists (select from pg_publication_rel r join relation on relation.oid = r.prrelid
            where r.prpubid = p.oid and r.prattrs is not null) as has_list
  from pg_publication p
  join pg_publication_tables t on t.pubname = p.pubname
  join pg_class c on c.relname = t.tablename and c.relnamespace = to_regnamespace(quote_ident(t.schemaname))
  where (p.pubupdate or p.pubdelete) and c.oid in (select oid from relation union all select oid from leaf)
  order by p.pubname
), keys as (
  select i.indisprimary, i.indisreplident, i.indisunique and i.indimmediate and i.indpred is null
           and bool_and(a.attnotnull) as identifies,
         json_agg(a.attname order by k.place) as columns
  from relation c
  join pg_index i on i.indrelid = c.oid and i.indexprs is null
  cross join unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality as k (attnum, place)
  join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
  group by i.indexrelid, i.indisprimary, i.indisreplident, i.indisunique, i.indimmediate, i.indpred
)
select c.relkind as kind, c.relpersistence = 'u' as "isUnlogged",
  current_setting('server_version_num')::int as server,
  (select json_agg(json_build_object('name', n.nspname || '.' || leaf.relname, 'identity', leaf.relreplident)
                   order by leaf.oid) from leaf join pg_namespace n on n.oid = leaf.relnamespace) as leaves,
  coalesce((select columns from keys where indisprimary), '[]') as "primaryKey",
  coalesce((select columns from keys where indisreplident), '[]') as "identityIndex",
  coalesce((select json_agg(columns) from keys where identifies), '[]') as unique,
  (select json_agg(json_build_object(
     'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'base', t.typname, 'kind', t.typtype,
     'baseType', format_type(t.oid, m.typmod), 'typmod', m.typmod,
     'isCaseless', t.typname = 'citext' or exists (select from pg_collation l where l.oid = a.attcollation
                                                    and not l.collisdeterministic),
     'isArray', t.typcategory = 'A', 'isBuiltIn', t.typnamespace = 'pg_catalog'::regnamespace,
     'isLong', a.attlen = -1 and a.attstorage <> 'p',
     'generated', case a.attgenerated when 's' then 'stored' when 'v' then 'virtual' end,
     'labels', (select json_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid)
   ) order by a.attnum)
   from pg_attribute a join base on base.oid = a.atttypid join pg_type t on t.oid = base.type
   cross join lateral (select case when a.atttypmod >= 0 then a.atttypmod else base.typmod end as typmod) m
   where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
  coalesce((select json_agg(json_build_object('name', p.pubname, 'columns', p.columns, 'hasList', p.has_list)
                            order by p.pubname) from published p), '[]') as publications
from relation c`;
