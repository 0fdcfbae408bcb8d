import type { PartSpecification } from '../../definitions/specification.ts';
import { checkTypes, keyForms } from './column-types.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import {
  neverArrives,
  readTable,
  readTables,
  type SourceColumn,
  type SourceTable,
} from './catalog.ts';
import { tablesOf } from './publication.ts';
import { judgeIdentity } from './replica-identity.ts';
import type { SourceContext } from './source.ts';
import { tableName } from '../words.ts';

/** A part and the function it is of. */
interface NamedPart {
  readonly fn: string;
  readonly part: PartSpecification;
}

export const tables: Check<SourceContext> = {
  id: 'source.tables',
  title: 'tables',
  async run(context) {
    const { inspector, specifications } = context;
    const findings: Finding[] = [];
    for (const name of tablesOf(specifications)) {
      const table = await readTable(inspector, name);
      const parts = specifications.flatMap((each) =>
        each.parts.filter((part) => part.table === name).map((part) => ({ fn: each.name, part })),
      );
      const found =
        table === null ? [missing(name)] : await judgeTable(context, name, table, parts);
      findings.push(...(found.length > 0 ? found : [fine(`${name} has what its functions name`)]));
    }
    return findings;
  },
};

export const keys: Check<SourceContext> = {
  id: 'source.keys',
  title: 'keys',
  async run({ inspector, specifications, decimals }) {
    const found = await readTables(inspector, tablesOf(specifications));
    return specifications.flatMap((each) => keyForms(each, found, decimals));
  },
};

export const identity: Check<SourceContext> = {
  id: 'source.replica_identity',
  title: 'replica identity',
  async run({ inspector, specifications, state }) {
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
      findings.push(...(await judgeIdentity({ inspector, state }, name, table, parts)));
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

async function judgeTable(
  context: SourceContext,
  name: string,
  table: SourceTable,
  parts: readonly NamedPart[],
): Promise<Finding[]> {
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
    findings.push(
      ...checkGenerated(name, table, fn, part),
      ...checkId(name, table, fn, part),
      ...(await checkTypes(context, name, table, fn, part)),
    );
  }
  return dedupe(findings);
}

/** A generated column that no publication can send; the initial snapshot brings it all the same. */
function checkGenerated(
  name: string,
  { server, columns }: SourceTable,
  fn: string,
  part: PartSpecification,
): Finding[] {
  const why = (column: SourceColumn) =>
    column.generated === 'virtual'
      ? 'is a virtual generated column, which no change event has'
      : `is a generated column, which PostgreSQL ${Math.floor(server / 10_000)} sends in no change event`;
  return columns
    .filter((column) => part.columns.includes(column.name) && neverArrives(column, server))
    .map((column) =>
      problem(
        `${column.name} of ${name} ${why(column)}`,
        `name another column in functions/${fn}.ts`,
      ),
    );
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
