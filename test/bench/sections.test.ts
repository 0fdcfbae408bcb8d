import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { COMPILED } from '../support/process.ts';
import type { SectionResult } from './section.ts';

const RUN = fileURLToPath(new URL('run.ts', import.meta.url));
/** Without `cold` and `telemetry`, which build the bundle, and `pull` and `road`, which need Java: other tests cover these. */
const SECTIONS = [
  'hot',
  'jobs',
  'bytes',
  'growth',
  'recovery',
  'poll',
  'held',
  'stress',
  'travelers',
  'wal',
];

test('the sections of the bench run, and their checks pass', { timeout: 300_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-bench-test-'));
  try {
    const json = join(folder, 'bench.json');
    const args = [RUN, '--quick', '--only', SECTIONS.join(','), '--json', json];
    const environment = { env: { ...process.env, ...COMPILED } };
    // Ends before the test does, to report how far it came.
    await promisify(execFile)(process.execPath, args, { ...environment, timeout: 280_000 }).catch(
      (error: Error & { stdout: string }) => {
        throw new Error(`${error.message}\n${error.stdout.slice(-1_500)}`);
      },
    );

    const { sections } = JSON.parse(readFileSync(json, 'utf8')) as {
      sections: Record<string, SectionResult>;
    };
    expect(Object.keys(sections)).toEqual(SECTIONS);
    for (const { verdicts } of Object.values(sections)) {
      expect(verdicts.length).toBeGreaterThan(0);
      expect(verdicts.filter(({ reached }) => !Number.isFinite(reached))).toEqual([]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
