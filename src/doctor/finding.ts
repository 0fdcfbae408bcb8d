import { errorText } from '../lib/error-text.ts';

/** The result of a check for one of the things it examines. */
export interface Finding {
  readonly state: 'fine' | 'problem' | 'unchecked';
  /** What was found, or why it was not checked; a single line. */
  readonly message: string;
  /** How to fix a problem: a command, or a change of a setting. */
  readonly remedy?: string;
}

/** Examines one aspect of a system. If `run` throws, the finding is `unchecked`. */
export interface Check<Context> {
  /** Stable and machine-readable: `<group>.<what>`. */
  readonly id: string;
  readonly title: string;
  run(context: Context): readonly Finding[] | Promise<readonly Finding[]>;
}

/** A finding with the check that it belongs to. */
export interface Result extends Finding {
  readonly check: string;
  readonly title: string;
}

/** The results for one of the examined systems. */
export interface Group {
  readonly group: 'functions' | 'database' | 'source' | 'kafka' | 'registry' | 'cluster';
  /** Human-readable address of the system, without secrets. */
  readonly at: string;
  readonly results: readonly Result[];
}

export function fine(message: string): Finding {
  return { state: 'fine', message };
}

export function problem(message: string, remedy: string): Finding {
  return { state: 'problem', message, remedy };
}

export function unchecked(why: string): Finding {
  return { state: 'unchecked', message: why };
}

/** Runs checks one after another: they share a connection, and the doctor is not a load test. */
export async function runChecks<Context>(
  checks: readonly Check<Context>[],
  context: Context,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const check of checks) {
    const findings = await runCheck(check, context);
    results.push(...findings.map((finding) => toResult(check, finding)));
  }
  return results;
}

/** Returns the same result for every check: why none of them was run. */
export function skipChecks(checks: readonly Check<never>[], why: string): Result[] {
  return checks.map((check) => toResult(check, unchecked(why)));
}

export function toResult(
  { id, title }: Pick<Check<never>, 'id' | 'title'>,
  finding: Finding,
): Result {
  return { check: id, title, ...finding };
}

async function runCheck<Context>(
  check: Check<Context>,
  context: Context,
): Promise<readonly Finding[]> {
  try {
    return await check.run(context);
  } catch (error) {
    return [unchecked(errorText(error))];
  }
}
