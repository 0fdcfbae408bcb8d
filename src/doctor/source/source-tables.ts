import type { TablePartSpecification } from '../../definitions/part-specification.ts';
import type { Specification } from '../../definitions/specification.ts';
import { checkTypes, keyForms } from './column-types.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import {
  neverArrives,
  readTable,
  readTables,
  type SourceColumn,
  type SourceTable,
} from './catalog.ts';
import { isMessagePart, isTablePart, streamOf, tablesOf } from '../../definitions/streams.ts';
import { checkIdentity } from './replica-identity.ts';
import type { SourceContext } from './wal.ts';
import { tableName } from '../plural.ts';

/** A part and the name of its function. */
interface NamedPart {
  readonly fn: string;
  readonly part: TablePartSpecification;
}

export const tables: Check<SourceContext> = {
  id: 'source.tables',
  title: 'tables',
  async run(context) {
    const { inspector, specifications } = context;
    const findings: Finding[] = [];
    for (const name of tablesOf(specifications).toSorted()) {
      const table = await readTable(inspector, name);
      const parts = specifications.flatMap((each) =>
        each.parts
          .filter(isTablePart)
          .filter((part) => part.table === name)
          .map((part) => ({ fn: each.name, part })),
      );
      const found =
        table === null ? [missing(name)] : await checkTable(context, name, table, parts);
      findings.push(...(found.length > 0 ? found : [fine(`${name} has what its functions use`)]));
    }
    return [...findings, ...otherParts(specifications)];
  },
};

/** Names the parts of which a database knows nothing. */
function otherParts(specifications: readonly Specification[]): Finding[] {
  return specifications.flatMap(({ name: fn, parts }) =>
    parts
      .filter(isMessagePart)
      .map((part) =>
        unchecked(`part ${part.name} of ${fn} reads the ${streamOf(part)}, which no table holds`),
      ),
  );
}

export const keys: Check<SourceContext> = {
  id: 'source.keys',
  title: 'keys',
  async run({ inspector, specifications, decimals }) {
    const found = await readTables(inspector, tablesOf(specifications).toSorted());
    return specifications.flatMap((each) => keyForms(each, found, decimals));
  },
};

export const identity: Check<SourceContext> = {
  id: 'source.replica_identity',
  title: 'replica identity',
  async run({ inspector, specifications, state }) {
    const findings: Finding[] = [];
    for (const name of tablesOf(specifications).toSorted()) {
      const table = await readTable(inspector, name);
      if (table === null) {
        findings.push(unchecked(`there is no table ${name}`));
        continue;
      }
      const parts = specifications
        .flatMap((each) => each.parts)
        .filter(isTablePart)
        .filter((each) => each.table === name);
      findings.push(...(await checkIdentity({ inspector, state }, name, table, parts)));
    }
    return findings;
  },
};

function missing(name: string): Finding {
  return problem(
    `there is no table ${name}`,
    'write the table as schema.table in the function; or does --source point to another database?',
  );
}

async function checkTable(
  context: SourceContext,
  name: string,
  table: SourceTable,
  parts: readonly NamedPart[],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (!['r', 'p'].includes(table.kind)) {
    findings.push(
      problem(
        `${name} is not a table: its changes are not in the log`,
        `use its table in the function`,
      ),
    );
  }
  if (table.isUnlogged) {
    findings.push(
      problem(
        `${name} is unlogged: its changes are not in the log`,
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
          `${name} has no column ${absent.join(', ')}, which part ${part.name} of ${fn} uses`,
          `fix functions/${fn}.ts`,
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

/** Reports generated columns that no publication can send, although the initial snapshot includes them. */
function checkGenerated(
  name: string,
  { server, columns }: SourceTable,
  fn: string,
  part: TablePartSpecification,
): Finding[] {
  const why = (column: SourceColumn) =>
    column.generated === 'virtual'
      ? 'is a virtual generated column, which change events never include'
      : `is a generated column, which PostgreSQL ${Math.floor(server / 10_000)} never includes in change events`;
  return columns
    .filter((column) => part.columns.includes(column.name) && neverArrives(column, server))
    .map((column) =>
      problem(
        `${column.name} of ${name} ${why(column)}`,
        `use another column in functions/${fn}.ts`,
      ),
    );
}

/** To Muster, two rows with the same `id` are one row; a delete contains only the replica identity. */
function checkId(
  name: string,
  table: SourceTable,
  fn: string,
  part: TablePartSpecification,
): Finding[] {
  const same = (columns: readonly string[]) =>
    columns.length === part.id.length && part.id.every((column) => columns.includes(column));
  if (same(table.primaryKey) || table.unique.some(same)) return [];
  const list = part.id.join(', ');
  if (table.primaryKey.length > 0) {
    const id = table.primaryKey.map((column) => `'${column}'`);
    return [
      problem(
        `${list}, the id of part ${part.name} of ${fn}, does not identify the rows of ${name}`,
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

/** Removes duplicates, as parts on the same table often share a problem. */
function dedupe(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((each) => [`${each.message}${each.remedy}`, each])).values()];
}
