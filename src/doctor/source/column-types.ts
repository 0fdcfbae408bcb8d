/** Checks what the types of a function's columns mean for its keys and filters. */
import type { TablePartSpecification } from '../../definitions/part-specification.ts';
import type { Specification } from '../../definitions/specification.ts';
import { isTablePart } from '../../definitions/streams.ts';
import type { Inspector } from '../../state/database/inspector.ts';
import type { SourceColumn, SourceTable } from './catalog.ts';
import { neverEqual } from './column-filters.ts';
import { type Decimals, formOf, isUnknown, simpler } from './column-forms.ts';
import { fine, problem, unchecked, type Finding } from '../finding.ts';
import { identifier, tableName } from '../plural.ts';

/** Returns problems with the types of the columns that a part uses. */
export async function checkTypes(
  { inspector, decimals }: { readonly inspector: Inspector; readonly decimals: Decimals },
  name: string,
  table: SourceTable,
  fn: string,
  part: TablePartSpecification,
): Promise<Finding[]> {
  const columnOf = (column: string) => table.columns.find((each) => each.name === column);
  const file = `functions/${fn}.ts`;
  const decode = (what: string) =>
    `base64: ['${what}']   in part ${part.name} of ${file}; and include.unknown.datatypes=true for the connector`;
  const findings: Finding[] = [];
  for (const column of [...part.key, ...part.id].map(columnOf)) {
    if (column === undefined) continue;
    const { name: what, type } = column;
    if (formOf(column, decimals).json === 'object') {
      findings.push(
        problem(
          `${what} of ${name} is ${type}, which can't be part of a key`,
          column.base === 'numeric' && !column.isArray
            ? 'decimal.handling.mode=string for the connector'
            : `use another column in ${file}`,
        ),
      );
    } else if (isUnknown(column) && !part.base64.includes(what)) {
      findings.push(
        problem(`${what} of ${name} is ${type}, which arrives as base64 of its text`, decode(what)),
      );
    }
  }
  for (const column of part.base64.map(columnOf)) {
    if (column === undefined || isUnknown(column) || column.base === 'bytea') continue;
    findings.push(
      problem(
        `${column.name} of ${name} is ${column.type} and does not arrive as base64, but part ${part.name} of ${fn} lists it there`,
        `remove '${column.name}' from base64 in ${file}`,
      ),
    );
  }
  for (const [what, wanted] of Object.entries(part.where)) {
    const column = columnOf(what);
    if (column === undefined) continue;
    const isDecoded = part.base64.includes(what);
    const never = await neverEqual(inspector, column, wanted, decimals, isDecoded);
    const filter = `where ${what} is ${JSON.stringify(wanted)} in part ${part.name} of ${fn}`;
    if (never !== null) {
      findings.push(
        problem(`${filter} never matches: ${never.why}`, fix(column, never.instead, decimals)),
      );
    } else if (column.isCaseless && wanted !== null) {
      findings.push(
        unchecked(
          `${filter} matches only in this case: ${column.type} ignores case, Muster does not`,
        ),
      );
    }
  }
  return findings;

  function fix(column: SourceColumn, instead: unknown, mode: Decimals): string {
    if (isUnknown(column)) return decode(column.name);
    if (instead === undefined) return `fix where in ${file}`;
    const literal = `where: { ${column.name}: ${JSON.stringify(instead)} }   in part ${part.name} of ${file}`;
    const isDecimal = column.base === 'numeric' || column.base === 'money';
    return isDecimal && mode === 'precise'
      ? `${literal}; and decimal.handling.mode=string for the connector`
      : literal;
  }
}

interface KeyColumn {
  readonly table: string;
  readonly column: SourceColumn;
  readonly form: string;
}

/** Checks that the keys of a function's parts arrive in the same form: if not, no set gets rows of both. */
export function keyForms(
  { name, parts: all }: Specification,
  tables: ReadonlyMap<string, SourceTable>,
  decimals: Decimals,
): Finding[] {
  const parts = all.filter(isTablePart);
  if (parts.length === 0) return [];
  const findings: Finding[] = [];
  const columnOf = (part: TablePartSpecification, place: number) =>
    tables.get(part.table)?.columns.find((each) => each.name === part.key[place]);
  if (parts.some((part) => part.key.some((_, place) => columnOf(part, place) === undefined))) {
    return [unchecked(`not every key column of ${name} exists`)];
  }
  const width = parts[0]?.key.length ?? 0;
  for (let place = 0; place < width; place++) {
    const columns = parts.map((part): KeyColumn => {
      const column = columnOf(part, place)!;
      const form = formOf(column, decimals, part.base64.includes(column.name)).name;
      return { table: part.table, column, form };
    });
    findings.push(...checkPlace(name, columns, decimals));
  }
  return findings.length > 0 ? findings : [fine(`those of ${name} arrive in the same form`)];
}

function checkPlace(fn: string, columns: readonly KeyColumn[], decimals: Decimals): Finding[] {
  const forms = new Map(columns.map((each) => [each.form, each]));
  if (forms.size > 1) {
    const list = [...forms].map(([form, { table, column }]) => `${table}.${column.name} (${form})`);
    return [
      problem(
        `the keys of ${fn} arrive in different forms and are never equal: ${list.join(', ')}`,
        oneForm(columns, decimals) ?? `use other columns in functions/${fn}.ts`,
      ),
    ];
  }
  const notes = columns.flatMap(({ table, column, form }) => {
    const what = `${column.name} of ${table} is ${column.type}`;
    if (column.isCaseless) {
      return [`${what}: values that differ in case are equal there, but different keys of ${fn}`];
    }
    if (formOf(column, decimals).json === 'object') {
      return [`${what}, which can't be part of a key`];
    }
    return form.startsWith('base64 of a number')
      ? [
          `${what}: the keys of ${fn} are base64 unless decimal.handling.mode of the connector is string`,
        ]
      : [];
  });
  return [...new Set(notes)].map(unchecked);
}

/** Returns what gives all columns the same form without changing any value's meaning, or null. */
function oneForm(columns: readonly KeyColumn[], decimals: Decimals): string | null {
  const remedies = new Set<string>();
  const forms = new Set<string>();
  for (const { table, column, form } of columns) {
    const better = simpler(tableName(table), identifier(column.name), column, decimals);
    if (better !== null) remedies.add(better.remedy);
    forms.add(better?.form ?? form);
  }
  return forms.size === 1
    ? `${[...remedies].join(' ')}   -- and have the existing rows sent again`
    : null;
}
