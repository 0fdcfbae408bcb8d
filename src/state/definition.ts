import { createHash } from 'node:crypto';
import { milliseconds } from '../duration.ts';
import type { FunctionDefinition, Part, Rule, Scalar } from '../function.ts';

/** Parts a function may have at a time: the lanes of `muster.sets.counts`. */
export const MAX_PARTS = 16;
/** Rules within rules a function may have: the bits of a bigint beyond the lanes. */
const MAX_GATES = 46;

/** A timer of Node: one that is set to more ends at once. */
const LONGEST_TIMER_MS = 24 * 86_400_000;

/** A part with every default written out. */
export interface PartSpecification {
  readonly name: string;
  readonly table: string;
  readonly key: readonly string[];
  readonly where: Readonly<Record<string, Scalar>>;
  readonly id: readonly string[];
  /** Columns kept in the member row. */
  readonly columns: readonly string[];
  /**
   * Are there others among them than those that decide (key, filter and primary key), or that another part
   * on the table doesn't keep?
   */
  readonly keepsMore: boolean;
  readonly base64: readonly string[];
  readonly count: number;
}

/** What decides sets: registered in Postgres, and equal in every pod that files for the function. */
export interface Specification {
  readonly name: string;
  readonly parts: readonly PartSpecification[];
  readonly rule: Rule;
  readonly history: 'skip' | 'run';
  readonly overdueMs: number | null;
  readonly concurrency: number | null;
}

/**
 * Checks a definition and writes out its defaults. Throws one error that lists every problem.
 */
export function specify(definition: FunctionDefinition): Specification {
  const problems: string[] = [];
  const check = (fine: boolean, problem: string) => void (fine || problems.push(problem));
  const listed = Object.entries<Part>(definition.parts).map(([name, part]) => {
    const key = list(part.key);
    const id = list(part.id ?? 'id');
    const where = part.where ?? {};
    check(
      /^[^.]+\.[^.]+$/.test(part.table),
      `part ${name}: table '${part.table}' must be schema.table`,
    );
    check(key.length > 0, `part ${name}: key needs a column`);
    check(id.length > 0, `part ${name}: id needs a column`);
    check(
      Number.isInteger(part.count ?? 1) && (part.count ?? 1) > 0,
      `part ${name}: count must be 1 or more`,
    );
    const deciding = new Set([...id, ...key, ...Object.keys(where)]);
    const columns = [...new Set([...deciding, ...(part.columns ?? [])])];
    return {
      name,
      table: part.table,
      key,
      where,
      id,
      columns,
      keepsMore: columns.length > deciding.size,
      base64: list(part.base64 ?? []),
      count: part.count ?? 1,
    };
  });
  const parts = listed.map((part) => ({
    ...part,
    keepsMore:
      part.keepsMore ||
      listed.some(
        ({ table, columns }) =>
          table === part.table && part.columns.some((column) => !columns.includes(column)),
      ),
  }));
  check(
    /^[a-z][a-z0-9-]{0,62}$/.test(definition.name),
    `name '${definition.name}' must be lower-case letters, digits and dashes`,
  );
  check(parts.length > 0, 'parts: at least one is needed');
  check(parts.length <= MAX_PARTS, `parts: at most ${MAX_PARTS}, not ${parts.length}`);
  check(
    new Set(parts.map((part) => part.key.length)).size <= 1,
    'parts: all keys must have as many columns, or no two rows ever meet',
  );
  const rule = definition.complete ?? { atLeast: parts.length, of: parts.map((part) => part.name) };
  const gates = checkRule(rule, new Set(parts.map((part) => part.name)), check);
  check(gates <= MAX_GATES, `complete: at most ${MAX_GATES} rules, not ${gates}`);
  check(
    definition.concurrency === undefined ||
      (Number.isInteger(definition.concurrency) && definition.concurrency > 0),
    'concurrency must be 1 or more',
  );
  const attempts = definition.retry?.attempts ?? 1;
  check(Number.isInteger(attempts) && attempts > 0, 'retry.attempts must be 1 or more');
  const history = definition.history ?? 'skip';
  check(['skip', 'run'].includes(history), "history must be 'skip' or 'run'");
  for (const [name, value] of Object.entries({
    overdueAfter: definition.overdueAfter,
    timeout: definition.timeout,
    keepFor: definition.keepFor,
    forgetAfter: definition.forgetAfter,
    'retry.first': definition.retry?.first,
    'retry.max': definition.retry?.max,
  })) {
    try {
      const ms = value === undefined ? 1 : milliseconds(value);
      const fits = name !== 'timeout' || (ms > 0 && ms <= LONGEST_TIMER_MS);
      check(fits, `${name}: must be longer than nothing and at most 24 days`);
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message}`);
    }
  }
  if (problems.length > 0) {
    throw new Error(`function ${definition.name}:\n  ${problems.join('\n  ')}`);
  }
  return {
    name: definition.name,
    parts,
    rule,
    history,
    overdueMs: definition.overdueAfter === undefined ? null : milliseconds(definition.overdueAfter),
    concurrency: definition.concurrency ?? null,
  };
}

/** Two specifications are the same definition exactly if their hashes are equal. */
export function hashOf(specification: Specification): string {
  return createHash('sha256').update(JSON.stringify(specification)).digest('hex');
}

/** The rule as `muster.complete` reads it. */
export interface Gates {
  readonly need: number[];
  readonly gateNeed: number[];
  readonly gateOf: bigint[];
}

/** Compiles the rule to gates, inner rules first; `laneOf` gives each part's lane, counted from 1. */
export function compile(specification: Specification, laneOf: ReadonlyMap<string, number>): Gates {
  const lanes = Math.max(...specification.parts.map((part) => laneOf.get(part.name)!));
  const need = Array.from({ length: lanes }, () => 0);
  for (const part of specification.parts) need[laneOf.get(part.name)! - 1] = part.count;
  const gateNeed: number[] = [];
  const gateOf: bigint[] = [];
  const gate = (rule: Rule): bigint => {
    let bits = 0n;
    for (const item of rule.of) {
      bits |= typeof item === 'string' ? 1n << BigInt(laneOf.get(item)! - 1) : gate(item);
    }
    gateOf.push(bits);
    return 1n << BigInt(MAX_PARTS - 1 + gateNeed.push(rule.atLeast));
  };
  gate(specification.rule);
  return { need, gateNeed, gateOf };
}

function checkRule(
  rule: Rule,
  parts: ReadonlySet<string>,
  check: (fine: boolean, problem: string) => void,
): number {
  const names = rule.of.filter((item) => typeof item === 'string');
  for (const name of names) check(parts.has(name), `complete: there is no part '${name}'`);
  check(
    new Set(names).size === names.length,
    `complete: a part counts once in a rule (${names.join(', ')})`,
  );
  check(
    Number.isInteger(rule.atLeast) && rule.atLeast > 0 && rule.atLeast <= rule.of.length,
    `complete: at least ${rule.atLeast} of ${rule.of.length} can't be`,
  );
  return rule.of.reduce(
    (sum, item) => sum + (typeof item === 'string' ? 0 : checkRule(item, parts, check)),
    1,
  );
}

function list(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}
