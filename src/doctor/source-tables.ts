import type { PartSpecification } from '../state/definition.ts';
import type { Inspector } from '../state/inspector.ts';
import { checkTypes, keyForms } from './column-types.ts';
import { type Check, fine, problem, unchecked, type Finding } from './finding.ts';
import { tablesOf } from './publication.ts';
import { judgeIdentity } from './replica-identity.ts';
import type { SourceContext } from './source.ts';
import { tableName } from './words.ts';

/** A column as the catalog has it; `base` is the type under a domain. */
export interface SourceColumn {
  readonly name: string;
  readonly type: string;
  readonly base: string;
  /** `b`ase, `e`num, `r`ange, `m`ultirange, `c`omposite */
  readonly kind: string;
  readonly isArray: boolean;
  readonly isBuiltIn: boolean;
  /** May it be stored out of line (TOAST)? */
  readonly isLong: boolean;
  readonly isGenerated: boolean;
  /** Labels of an enum. */
  readonly labels: string[] | null;
}

/** A table as the catalog has it. */
export interface SourceTable {
  readonly kind: string;
  readonly isUnlogged: boolean;
  /** `d`efault, `f`ull, `i`ndex, `n`othing; of every partition. */
  readonly identities: string[];
  readonly primaryKey: string[];
  /** Columns of the index that REPLICA IDENTITY USING INDEX names. */
  readonly identityIndex: string[];
  /** Sets of columns that no two rows share, and that are never null. */
  readonly unique: string[][];
  readonly columns: SourceColumn[];
}

/** A part and the function it is of. */
export interface NamedPart {
  readonly fn: string;
  readonly part: PartSpecification;
}

export const tables: Check<SourceContext> = {
  id: 'source.tables',
  title: 'tables',
  async run({ inspector, specifications }) {
    const findings: Finding[] = [];
    for (const name of tablesOf(specifications)) {
      const table = await readTable(inspector, name);
      const parts = specifications.flatMap((each) =>
        each.parts.filter((part) => part.table === name).map((part) => ({ fn: each.name, part })),
      );
      const found = table === null ? [missing(name)] : judgeTable(name, table, parts);
      findings.push(...(found.length > 0 ? found : [fine(`${name} has what its functions name`)]));
    }
    return findings;
  },
};

export const keys: Check<SourceContext> = {
  id: 'source.keys',
  title: 'keys',
  async run({ inspector, specifications }) {
    const found = new Map<string, SourceTable | null>();
    for (const name of tablesOf(specifications)) found.set(name, await readTable(inspector, name));
    return specifications.map((each) => keyForms(each, found)).flat();
  },
};

export const identity: Check<SourceContext> = {
  id: 'source.replica_identity',
  title: 'replica identity',
  async run({ inspector, specifications }) {
    const findings: Finding[] = [];
    for (const name of tablesOf(specifications)) {
      const table = await readTable(inspector, name);
      if (table === null) {
        findings.push(unchecked(`there is no table ${name}`));
        continue;
      }
      const parts = specifications
        .flatMap((each) => each.parts)
        .filter((each) => each.table === name);
      findings.push(...(await judgeIdentity(inspector, name, table, parts)));
    }
    return findings;
  },
};

function missing(name: string): Finding {
  return problem(
    `there is no table ${name}`,
    'name the table in the function as schema.table; or is --source another database?',
  );
}

function judgeTable(name: string, table: SourceTable, parts: readonly NamedPart[]): Finding[] {
  const findings: Finding[] = [];
  if (!['r', 'p'].includes(table.kind)) {
    findings.push(
      problem(`${name} is no table: nothing of it is in the log`, `name its table in the function`),
    );
  }
  if (table.isUnlogged) {
    findings.push(
      problem(
        `${name} is unlogged: nothing of it is in the log`,
        `alter table ${tableName(name)} set logged;`,
      ),
    );
  }
  for (const { fn, part } of parts) {
    const absent = part.columns.filter(
      (column) => !table.columns.some((each) => each.name === column),
    );
    if (absent.length > 0) {
      findings.push(
        problem(
          `${name} has no column ${absent.join(', ')}, which part ${part.name} of ${fn} names`,
          `mend functions/${fn}.ts`,
        ),
      );
    }
    findings.push(...checkId(name, table, fn, part), ...checkTypes(name, table, fn, part));
  }
  return dedupe(findings);
}

/** Two rows of one `id` are one row to Muster; a delete brings no more than the identity. */
function checkId(name: string, table: SourceTable, fn: string, part: PartSpecification): Finding[] {
  const same = (columns: readonly string[]) =>
    columns.length === part.id.length && part.id.every((column) => columns.includes(column));
  if (same(table.primaryKey) || table.unique.some(same)) return [];
  const list = part.id.join(', ');
  if (table.primaryKey.length > 0) {
    const id = table.primaryKey.map((column) => `'${column}'`);
    return [
      problem(
        `${list}, the id of part ${part.name} of ${fn}, does not tell the rows of ${name} apart`,
        `id: ${id.length === 1 ? id[0] : `[${id.join(', ')}]`}   in functions/${fn}.ts`,
      ),
    ];
  }
  return [
    problem(
      `${name} has no primary key, and ${list}, the id of part ${part.name} of ${fn}, is not unique`,
      `alter table ${tableName(name)} add primary key (${list});`,
    ),
  ];
}

/** Parts on one table often share what is wrong. */
function dedupe(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((each) => [`${each.says}${each.mend}`, each])).values()];
}

async function readTable(inspector: Inspector, name: string): Promise<SourceTable | null> {
  const [schema, table] = name.split('.');
  const [row] = await inspector.query<SourceTable>(SOURCE_TABLE, [schema, table]);
  return row ?? null;
}

const SOURCE_TABLE = `
with recursive base (oid, type) as (
  select oid, oid from pg_type where typtype <> 'd'
  union all
  select d.oid, base.type from pg_type d join base on d.typbasetype = base.oid where d.typtype = 'd'
), relation as (
  select c.* from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = $1 and c.relname = $2
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
  coalesce((select json_agg(distinct leaf.relreplident) from pg_partition_tree(c.oid) t
            join pg_class leaf on leaf.oid = t.relid where t.isleaf), json_build_array(c.relreplident)) as identities,
  coalesce((select columns from keys where indisprimary), '[]') as "primaryKey",
  coalesce((select columns from keys where indisreplident), '[]') as "identityIndex",
  coalesce((select json_agg(columns) from keys where identifies), '[]') as unique,
  (select json_agg(json_build_object(
     'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'base', t.typname, 'kind', t.typtype,
     'isArray', t.typcategory = 'A', 'isBuiltIn', t.typnamespace = 'pg_catalog'::regnamespace,
     'isLong', a.attlen = -1 and a.attstorage <> 'p', 'isGenerated', a.attgenerated <> '',
     'labels', (select json_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid)
   ) order by a.attnum)
   from pg_attribute a join base on base.oid = a.atttypid join pg_type t on t.oid = base.type
   where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
from relation c`;
