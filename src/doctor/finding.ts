import { errorText } from '../lib/error-text.ts';

/** What a check says of one thing it looked at. */
export interface Finding {
  readonly state: 'fine' | 'problem' | 'unchecked';
  /** What was seen, or why it was not looked at: one line. */
  readonly says: string;
  /** What mends a problem: a command, or the change of a setting. */
  readonly mend?: string;
}

/** One question to a system, and how it is answered. Throws where it can't be: that is `unchecked`. */
export interface Check<Context> {
  /** Stable: `<group>.<what>`, for machines. */
  readonly id: string;
  readonly title: string;
  run(context: Context): readonly Finding[] | Promise<readonly Finding[]>;
}

/** A finding with the check it is of. */
export interface Result extends Finding {
  readonly check: string;
  readonly title: string;
}

/** What was found at one of the systems that were looked at. */
export interface Group {
  readonly group: 'functions' | 'database' | 'source' | 'kafka' | 'cluster';
  /** Which one it was, for people; without secrets. */
  readonly at: string;
  readonly results: readonly Result[];
}

export function fine(says: string): Finding {
  return { state: 'fine', says };
}

export function problem(says: string, mend: string): Finding {
  return { state: 'problem', says, mend };
}

export function unchecked(why: string): Finding {
  return { state: 'unchecked', says: why };
}

/** Runs checks one after the other: they share a connection, and a doctor is no load test. */
export async function runChecks<Context>(
  checks: readonly Check<Context>[],
  context: Context,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const check of checks) {
    const findings = await answer(check, context);
    results.push(...findings.map((finding) => toResult(check, finding)));
  }
  return results;
}

/** The same answer to every check: why none of them was run. */
export function skipChecks(checks: readonly Check<never>[], why: string): Result[] {
  return checks.map((check) => toResult(check, unchecked(why)));
}

export function toResult(
  { id, title }: Pick<Check<never>, 'id' | 'title'>,
  finding: Finding,
): Result {
  return { check: id, title, ...finding };
}

async function answer<Context>(
  check: Check<Context>,
  context: Context,
): Promise<readonly Finding[]> {
  try {
    return await check.run(context);
  } catch (error) {
    return [unchecked(errorText(error))];
  }
}
