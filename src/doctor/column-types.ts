/**
 * What a column's type means for keys and filters, given how Debezium 3.7 sends it (pgoutput,
 * JsonConverter without schemas).
 */
import type { PartSpecification, Specification } from '../state/definition.ts';
import { fine, problem, unchecked, type Finding } from './finding.ts';
import type { SourceColumn, SourceTable } from './catalog.ts';

const NUMBERS = new Set(['int2', 'int4', 'int8', 'oid', 'float4', 'float8']);
/** What arrives as an object, which can't be part of a key. */
const OBJECTS = new Set(['point', 'geometry', 'geography', 'tsvector']);
/** Types whose values arrive in a form of their own: keys meet only among themselves. */
const FORMS: Readonly<Record<string, string>> = {
  date: 'days since 1970',
  timestamp: 'microseconds since 1970',
  timestamptz: 'ISO 8601',
  time: 'microseconds of the day',
  timetz: 'ISO 8601 time',
  interval: 'microseconds',
  bytea: 'base64',
};

/** Does Debezium know the type only with `include.unknown.datatypes`, and send base64 of its text? */
function isUnknown({ kind, isBuiltIn, isArray }: SourceColumn): boolean {
  return !isArray && (kind === 'm' || kind === 'c' || (kind === 'r' && !isBuiltIn));
}

/** What is wrong with the types of the columns that a part names. */
export function checkTypes(
  name: string,
  table: SourceTable,
  fn: string,
  part: PartSpecification,
): Finding[] {
  const columnOf = (column: string) => table.columns.find((each) => each.name === column);
  const file = `functions/${fn}.ts`;
  const findings: Finding[] = [];
  for (const column of [...part.key, ...part.id].map(columnOf)) {
    if (column === undefined) continue;
    const { name: what, type } = column;
    if (column.isArray || OBJECTS.has(column.base)) {
      findings.push(
        problem(
          `${what} of ${name} is ${type}, which can't be part of a key`,
          `name another column in ${file}, or add a generated one to the table`,
        ),
      );
    } else if (isUnknown(column) && !part.base64.includes(what)) {
      findings.push(
        problem(
          `${what} of ${name} is ${type}, which arrives as base64 of its text`,
          `base64: ['${what}']   in part ${part.name} of ${file}; and include.unknown.datatypes=true for the connector`,
        ),
      );
    }
  }
  for (const column of part.base64.map(columnOf)) {
    if (column === undefined || isUnknown(column) || column.base === 'bytea') continue;
    findings.push(
      problem(
        `${column.name} of ${name} is ${column.type} and does not arrive as base64, but part ${part.name} of ${fn} says so`,
        `take '${column.name}' out of base64 in ${file}`,
      ),
    );
  }
  for (const [what, wanted] of Object.entries(part.where)) {
    const column = columnOf(what);
    const never = column === undefined ? null : neverEqual(column, wanted);
    if (never !== null) {
      findings.push(
        problem(
          `where ${what} is ${JSON.stringify(wanted)} in part ${part.name} of ${fn} never holds: ${never}`,
          `mend where in ${file}`,
        ),
      );
    }
  }
  return findings;
}

function neverEqual(column: SourceColumn, wanted: unknown): string | null {
  const { type, base, labels } = column;
  if (wanted === null) return null;
  if (labels !== null) {
    return typeof wanted === 'string' && labels.includes(wanted)
      ? null
      : `${type} is one of ${labels.join(', ')}`;
  }
  if (base === 'bool') return typeof wanted === 'boolean' ? null : `${type} is true or false`;
  if (NUMBERS.has(base)) return typeof wanted === 'number' ? null : `${type} arrives as a number`;
  if (/^(text|varchar|bpchar|uuid|name)$/.test(base)) {
    return typeof wanted === 'string' ? null : `${type} arrives as text`;
  }
  return null;
}

/** Do the keys of a function's parts arrive in one form? Where not, no two of their rows ever meet. */
export function keyForms(
  { name, parts }: Specification,
  tables: ReadonlyMap<string, SourceTable>,
): Finding[] {
  const findings: Finding[] = [];
  const columnOf = (part: PartSpecification, place: number) =>
    tables.get(part.table)?.columns.find((each) => each.name === part.key[place]);
  if (parts.some((part) => part.key.some((_, place) => columnOf(part, place) === undefined))) {
    return [unchecked(`not every key column of ${name} is there`)];
  }
  const width = parts[0]?.key.length ?? 0;
  for (let place = 0; place < width; place++) {
    const columns = parts.map((part) => ({ table: part.table, column: columnOf(part, place)! }));
    const forms = new Map(columns.map(({ table, column }) => [formOf(column), { table, column }]));
    if (forms.size > 1) {
      const list = [...forms].map(
        ([form, { table, column }]) => `${table}.${column.name} (${form})`,
      );
      findings.push(
        problem(
          `the keys of ${name} arrive in different forms and never meet: ${list.join(', ')}`,
          `alter table … alter column … type …   -- one type for all, or name other columns in functions/${name}.ts`,
        ),
      );
    }
    for (const { table, column } of columns) {
      if (!/^(numeric|money)$/.test(column.base)) continue;
      findings.push(
        unchecked(
          `${column.name} of ${table} is ${column.type}: a key of ${name} only with decimal.handling.mode=string of the connector`,
        ),
      );
    }
  }
  return findings.length > 0 ? findings : [fine(`those of ${name} arrive in one form`)];
}

function formOf({ base, kind }: SourceColumn): string {
  return FORMS[base] ?? (kind === 'r' || kind === 'm' ? 'range' : 'plain');
}
