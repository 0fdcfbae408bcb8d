import { createHash } from 'node:crypto';
import { milliseconds } from '../lib/duration.ts';
import { checkFunction, RULE } from './check-definition.ts';
import { checkStreams, DEFAULT_ID, kindOf } from './check-parts.ts';
import { checkFields, DefinitionError, didYouMean, type Report } from './fields.ts';
import type { PartSpecification } from './part-specification.ts';
import { streamOf } from './streams.ts';
import type { FunctionDefinition, Part, Rule } from '../function.ts';

/** Maximum number of parts of a function: the slots of `muster.sets.counts`. */
export const MAX_PARTS = 16;
/** Maximum number of rules of a function: the bits of a bigint that the parts leave. */
export const MAX_RULES = 46;

/** The part of a definition that determines sets. It is registered in Postgres, and equal in all processes that ingest. */
export interface Specification {
  readonly name: string;
  readonly parts: readonly PartSpecification[];
  readonly rule: Rule;
  readonly history: 'skip' | 'run';
  readonly overdueMs: number | null;
  readonly concurrency: number | null;
}

/** Validates a definition and fills in its defaults. Throws one error that lists every problem. */
export function specify(definition: FunctionDefinition): Specification {
  const problems: string[] = [];
  const parts = checkSets(definition, (problem) => problems.push(problem));
  if (problems.length > 0) throw new DefinitionError(`function ${definition.name}`, problems);
  return {
    name: definition.name,
    parts,
    rule: definition.complete ?? { atLeast: parts.length, of: parts.map(({ name }) => name) },
    history: definition.history ?? 'skip',
    overdueMs: definition.overdueAfter === undefined ? null : milliseconds(definition.overdueAfter),
    concurrency: definition.concurrency ?? null,
  };
}

/** Reports every problem of a definition; returns its valid parts with their defaults filled in. */
export function checkSets(definition: FunctionDefinition, report: Report): PartSpecification[] {
  const parts = withDefaults(checkFunction(definition, report));
  const names = Object.keys(definition.parts ?? {});
  checkParts(parts, names.length, report);
  if (definition.complete !== undefined && names.length > 0) {
    const rules = checkRule(definition.complete, names, report);
    if (rules > MAX_RULES) report(`complete: at most ${MAX_RULES} rules`);
  }
  return parts;
}

function withDefaults(given: ReadonlyMap<string, Part>): PartSpecification[] {
  const listed = [...given].map(([name, part]) => {
    const key = list(part.key);
    const id = list(part.id ?? DEFAULT_ID[kindOf(part)]);
    const where = part.where ?? {};
    const deciding = new Set([...id, ...key, ...Object.keys(where)]);
    const columns = [...new Set([...deciding, ...(part.columns ?? [])])];
    return {
      name,
      ...readBy(part),
      key,
      where,
      id,
      columns,
      keepsMore: columns.length > deciding.size,
      base64: list(('base64' in part ? part.base64 : undefined) ?? []),
      count: part.count ?? 1,
    };
  });
  return listed.map((part) => ({
    ...part,
    keepsMore:
      part.keepsMore ||
      listed.some(
        (other) =>
          streamOf(other) === streamOf(part) &&
          part.columns.some((column) => !other.columns.includes(column)),
      ),
  }));
}

/** Returns the properties that parts of one kind have. Those of a table stay as they are: they are hashed. */
function readBy(part: Part) {
  if ('event' in part) {
    const { event, version = null, deletedBy = null } = part;
    return { event, version, deletedBy };
  }
  return 'topic' in part
    ? { topic: part.topic, version: part.version ?? null }
    : { table: part.table };
}

/** Reports problems that concern several parts, or a part and the columns that it keeps. */
function checkParts(parts: readonly PartSpecification[], total: number, report: Report): void {
  if (total === 0) report('parts: there must be at least one');
  if (total > MAX_PARTS) report(`parts: at most ${MAX_PARTS}, not ${total}`);
  if (new Set(parts.map((part) => part.key.length)).size > 1) {
    report(
      'parts: all keys must have the same number of columns, or rows of different parts never match',
    );
  }
  checkStreams(parts, report);
  for (const { name, base64, columns } of parts) {
    for (const column of base64.filter((each) => !columns.includes(each))) {
      report(
        `part ${name}: base64 names '${column}', which the part does not keep${didYouMean(column, columns)}`,
      );
    }
  }
}

/** Returns the hash of a specification; equal only for equal definitions. */
export function hashOf(specification: Specification): string {
  return createHash('sha256').update(JSON.stringify(specification)).digest('hex');
}

/** A rule in the form in which `muster.complete` evaluates it: a circuit of threshold gates. */
export interface Gates {
  /** Rows that each part needs, by part index. */
  readonly need: number[];
  /** Inputs that each gate needs. */
  readonly gateNeed: number[];
  /** Inputs of each gate as bits: parts first, then the gates before it. */
  readonly gateOf: bigint[];
}

/** Compiles the rule to gates, inner rules first. */
export function compile(
  specification: Specification,
  partIndexOf: ReadonlyMap<string, number>,
): Gates {
  const partIndexes = Math.max(...specification.parts.map((part) => partIndexOf.get(part.name)!));
  const need = Array.from({ length: partIndexes }, () => 0);
  for (const part of specification.parts) need[partIndexOf.get(part.name)! - 1] = part.count;
  const gateNeed: number[] = [];
  const gateOf: bigint[] = [];
  const gate = (rule: Rule): bigint => {
    let bits = 0n;
    for (const item of rule.of) {
      bits |= typeof item === 'string' ? 1n << BigInt(partIndexOf.get(item)! - 1) : gate(item);
    }
    gateOf.push(bits);
    return 1n << BigInt(MAX_PARTS - 1 + gateNeed.push(rule.atLeast));
  };
  gate(specification.rule);
  return { need, gateNeed, gateOf };
}

/** Reports every problem of a rule and of the rules within it; returns the number of these rules. */
function checkRule(value: unknown, parts: readonly string[], report: Report, depth = 1): number {
  if (depth > MAX_RULES) return depth; // the rule may contain itself
  const rule = checkFields<Rule>('complete', value, RULE, report);
  if (rule === null) return 1;
  const names = rule.of.filter((item) => typeof item === 'string');
  for (const name of names) {
    if (!parts.includes(name)) {
      report(`complete: there is no part '${name}'${didYouMean(name, parts)}`);
    }
  }
  if (new Set(names).size < names.length) {
    report(`complete: a rule may name a part only once (${names.join(', ')})`);
  }
  if (rule.atLeast > rule.of.length) {
    report(`complete: at least ${rule.atLeast} of ${rule.of.length} is impossible`);
  }
  return rule.of
    .filter((item) => typeof item !== 'string')
    .reduce((sum, item) => sum + checkRule(item, parts, report, depth + 1), 1);
}

function list(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}
