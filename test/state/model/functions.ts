/** Random functions, and the expected sets of a function for given rows of the source. */
import fc from 'fast-check';
import type { FunctionDefinition, Part, Rule } from '../../../src/function.ts';
import type { Source, SourceRow, Table } from './source.ts';

export interface PlannedPart {
  readonly table: Table;
  readonly kind: 'a' | 'b' | null;
  readonly count: number;
  readonly note: boolean;
}

export interface PlannedFunction {
  readonly parts: readonly PlannedPart[];
  readonly composite: boolean;
  readonly rule: Rule | null;
  readonly concurrency: number | null;
  readonly overdue: boolean;
}

const part: fc.Arbitrary<PlannedPart> = fc.record({
  table: fc.constantFrom('t1', 't1', 't2', 't2', 'events', 'records'),
  kind: fc.constantFrom('a', 'a', 'b', 'b', null),
  count: fc.constantFrom(1, 1, 1, 1, 2, 3),
  note: fc.boolean(),
});

const names = ['p0', 'p1', 'p2', 'p3'];

/** All, any, or at least a number of parts and rules. */
function ruleOf(parts: readonly string[], depth: number): fc.Arbitrary<Rule> {
  const items = fc.tuple(
    fc.subarray([...parts], { minLength: 1 }),
    depth === 0 ? fc.constant([]) : fc.array(ruleOf(parts, depth - 1), { maxLength: 2 }),
  );
  return items.chain(([chosen, rules]) => {
    const of = [...chosen, ...rules];
    return fc.integer({ min: 1, max: of.length }).map((atLeast) => ({ atLeast, of }));
  });
}

const planned: fc.Arbitrary<PlannedFunction> = fc
  .array(part, { minLength: 1, maxLength: names.length, size: 'max' })
  .chain((parts) =>
    fc.record({
      parts: fc.constant(parts),
      composite: fc.boolean(),
      rule: fc.option(ruleOf(names.slice(0, parts.length), 2), { freq: 3 }),
      concurrency: fc.constantFrom(null, null, 2),
      overdue: fc.boolean(),
    }),
  );

export const functions = fc.array(planned, { minLength: 1, maxLength: 3, size: 'max' });

export function define(
  plan: PlannedFunction,
  name: string,
  source: Source,
  history: 'skip' | 'run',
): FunctionDefinition {
  const parts: Record<string, Part> = {};
  plan.parts.forEach((each, i) => {
    const named = (column: string) => nameIn(each.table, column);
    parts[names[i]!] = {
      ...readBy(each.table, source),
      key: plan.composite ? [named('k1'), named('k2')] : named('k1'),
      ...(each.kind !== null && { where: { [named('kind')]: each.kind } }),
      ...(each.note && { columns: [named('note')] }),
      count: each.count,
    };
  });
  return {
    name,
    parts,
    history,
    ...(plan.rule !== null && { complete: plan.rule }),
    ...(plan.concurrency !== null && { concurrency: plan.concurrency }),
    ...(plan.overdue && { overdueAfter: '1 hour' as const }),
    handle() {},
  };
}

function readBy(table: Table, source: Source) {
  const name = source.name(table);
  if (table === 'records') return { topic: name };
  return table === 'events'
    ? { event: name, id: 'data.id', version: 'data.revision', deletedBy: `${name}.gone` }
    : { table: name };
}

/** Values of an event are in its data. */
function nameIn(table: Table, column: string): string {
  return table === 'events' ? `data.${column}` : column;
}

/** A row in a set, in a form that the model and the state have in common. */
export interface ModelMember {
  readonly part: string;
  readonly id: string;
  readonly key: string;
  readonly columns: Record<string, unknown>;
}

export function membersOf(plan: PlannedFunction, source: Source): ModelMember[] {
  return plan.parts.flatMap((each, i) =>
    source
      .rows(each.table)
      .filter((row) => row.k1 !== null && (each.kind === null || row.kind === each.kind))
      .map((row) => ({
        part: names[i]!,
        id: each.table === 'records' ? JSON.stringify(['0', String(row.id)]) : String(row.id),
        key: plan.composite ? JSON.stringify([row.k1, String(row.k2)]) : row.k1!,
        columns: kept(plan, each, row),
      })),
  );
}

function kept(plan: PlannedFunction, each: PlannedPart, row: SourceRow): Record<string, unknown> {
  const columns = {
    ...(each.table === 'records' ? { partition: '0', offset: String(row.id) } : { id: row.id }),
    k1: row.k1,
    ...(plan.composite && { k2: row.k2 }),
    ...(each.kind !== null && { kind: row.kind }),
    ...(each.note && { note: row.note }),
  };
  return Object.fromEntries(
    Object.entries(columns).map(([column, value]) => [nameIn(each.table, column), value]),
  );
}

/** Keys of the sets that are complete with these members. */
export function completeOf(plan: PlannedFunction, members: readonly ModelMember[]): Set<string> {
  const complete = new Set<string>();
  for (const [key, rows] of Map.groupBy(members, (member) => member.key)) {
    const fulfilled = (item: string | Rule): boolean =>
      typeof item === 'string'
        ? rows.filter((row) => row.part === item).length >= plan.parts[names.indexOf(item)]!.count
        : item.of.filter(fulfilled).length >= item.atLeast;
    const rule = plan.rule ?? { atLeast: plan.parts.length, of: names.slice(0, plan.parts.length) };
    if (fulfilled(rule)) complete.add(key);
  }
  return complete;
}
