import { onTestFinished } from 'vitest';
import type { StateContext } from '../../src/doctor/database/server.ts';
import type { Check, Finding } from '../../src/doctor/finding.ts';
import type { SourceContext } from '../../src/doctor/source/wal.ts';
import type { FunctionDefinition } from '../../src/function.ts';
import { specify } from '../../src/definitions/specification.ts';
import { openInspector, type Inspector } from '../../src/state/database/inspector.ts';
import { configOn } from '../support/engine.ts';
import type { TestDatabase } from '../support/test.ts';

type Definitions = readonly FunctionDefinition<never, never>[] | readonly FunctionDefinition[];

/** Opens an inspector that is closed when the test ends. */
export async function inspectorOf({ url }: Pick<TestDatabase, 'url'>): Promise<Inspector> {
  const inspector = await openInspector(url);
  onTestFinished(() => inspector.close());
  return inspector;
}

export async function stateOf(
  db: TestDatabase,
  definitions: Definitions = [],
  settings: Record<string, string> = {},
): Promise<StateContext> {
  return {
    inspector: await inspectorOf(db),
    config: configOn(db, settings),
    specifications: (definitions as readonly FunctionDefinition[]).map(specify),
    wanted: null,
  };
}

export async function sourceOf(
  db: TestDatabase,
  definitions: Definitions,
  names: Partial<SourceContext> = {},
): Promise<SourceContext> {
  return {
    inspector: await inspectorOf(db),
    specifications: (definitions as readonly FunctionDefinition[]).map(specify),
    publication: 'muster',
    slot: 'muster',
    name: 'postgres',
    reader: 'connector',
    decimals: 'precise',
    state: null,
    ...names,
  };
}

/** Runs one check and returns a line per finding: ✓, ✗ or –, and the message. */
export async function reportOf<C>(check: Check<C>, context: C): Promise<string[]> {
  return lines(await check.run(context));
}

function lines(findings: readonly Finding[]): string[] {
  const marks = { fine: '✓', problem: '✗', unchecked: '–' };
  return findings.map(({ state, message }) => `${marks[state]} ${message}`);
}

/** Applies the remedies that a check suggests, as a person would paste them into psql. */
export async function applyRemedies<C>(
  check: Check<C>,
  context: C,
  db: TestDatabase,
): Promise<void> {
  for (const statement of await remedies(check, context)) await db.query(statement);
}

/** Returns the SQL statements that a check suggests; other lines of its remedies concern the connector. */
export async function remedies<C>(check: Check<C>, context: C): Promise<string[]> {
  const findings = await check.run(context);
  return findings
    .filter(({ state }) => state === 'problem')
    .flatMap((finding) => finding.remedy!.split('\n'))
    .flatMap((line) => line.replace(/ {3}--.*$/, '').split(/; */))
    .filter((statement) => /^(alter|create|drop|grant|insert|select) /.test(statement));
}
