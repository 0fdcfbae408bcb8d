/**
 * The sections of the bench other than throughput. `npm run bench` runs all of them after its own cells, or
 * those named by `--only`; each can be run alone: `node test/bench/sections.ts --only jobs [--quick]`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../../src/local/postgres/postgres.ts';
import { describeMachine } from './report.ts';
import {
  verdictLine,
  type Section,
  type SectionContext,
  type SectionResult,
  type Verdict,
} from './section.ts';

/** Loaded on demand, because each has its own dependencies. */
const SECTIONS: Readonly<Record<string, () => Promise<Section>>> = {
  hot: async () => (await import('./hot.ts')).measureHotKeys,
  jobs: async () => (await import('./jobs.ts')).measureJobs,
  cold: async () => (await import('./cold.ts')).measureColdStart,
  bytes: async () => (await import('./bytes.ts')).measureBytes,
  growth: async () => (await import('./growth.ts')).measureGrowth,
  recovery: async () => (await import('./recovery.ts')).measureRecovery,
  poll: async () => (await import('./poll.ts')).measurePoll,
  held: async () => (await import('./held.ts')).measureHeldSnapshot,
  stress: async () => (await import('./stress.ts')).stress,
  telemetry: async () => (await import('./telemetry.ts')).measureTelemetry,
  travelers: async () => (await import('./travelers.ts')).measureTravelers,
  pull: async () => (await import('./pull.ts')).measurePull,
  wal: async () => (await import('./wal.ts')).measureWal,
  road: async () => (await import('./pipeline.ts')).measurePipeline,
};

export const sectionNames = Object.keys(SECTIONS);

/** Runs the named sections in their own order; continues with the others if one fails. */
export async function runSections(
  only: readonly string[],
  context: SectionContext,
): Promise<Record<string, SectionResult & { readonly seconds: number }>> {
  const results: Record<string, SectionResult & { readonly seconds: number }> = {};
  const failures: unknown[] = [];
  for (const [name, load] of Object.entries(SECTIONS)) {
    if (!only.includes(name)) continue;
    const begun = performance.now();
    try {
      const result = await (await load())(context);
      results[name] = { ...result, seconds: Math.round((performance.now() - begun) / 1000) };
    } catch (error) {
      context.say(`\n${name} failed: ${error instanceof Error ? error.stack : String(error)}`);
      failures.push(error);
    }
  }
  const verdicts: Verdict[] = Object.values(results).flatMap((each) => [...each.verdicts]);
  if (verdicts.length > 0) context.say(`\n${verdicts.map(verdictLine).join('\n')}`);
  if (failures.length > 0) process.exitCode = 1;
  return results;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      only: { type: 'string', default: sectionNames.join(',') },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  });
  const { quick } = options;
  const only = options.only.split(',');
  const wrong = only.filter((each) => !sectionNames.includes(each));
  if (wrong.length > 0) {
    throw new Error(`no section ${wrong.join(', ')}; there are ${sectionNames.join(', ')}`);
  }
  const folder = quick
    ? mkdtempSync(join(tmpdir(), 'muster-bench-'))
    : join(import.meta.dirname, '../../.muster/bench-sections');
  const settings = { shared_buffers: '512MB', max_wal_size: '4GB', max_connections: '400' };
  const postgres = await startPostgres({ folder, fresh: true, settings });
  try {
    const machine = await describeMachine(postgres);
    say(Object.values(machine).join('\n'));
    const results = await runSections(only, { postgres, quick, folder: postgres.folder, say });
    if (options.json !== undefined) {
      writeFileSync(options.json, `${JSON.stringify({ machine, ...results }, null, 2)}\n`);
    }
  } finally {
    await postgres.stop();
    for (const left of new Set([folder, postgres.folder])) {
      rmSync(left, { recursive: true, force: true });
    }
  }
}

if (import.meta.main) await main();
