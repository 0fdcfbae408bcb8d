import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { TestProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { test } from './support/test.ts';

const PARENT = fileURLToPath(new URL('support/parent.ts', import.meta.url));

test(
  'Kafka and Connect stop soon after their parent is killed',
  { timeout: 60_000 },
  async ({ pipeline }) => {
    const folder = pipeline.stack.newFolder();
    const parent = new TestProcess(PARENT, [folder], {});
    const pids = await until(() => {
      if (parent.hasExited) throw new Error(parent.stderr);
      return /pids (\d+) (\d+)/.exec(parent.stdout)?.slice(1).map(Number);
    }, 50_000);
    expect(pids.map(isAlive)).toEqual([true, true]);
    parent.kill('SIGKILL');
    await until(() => !pids.some(isAlive), 5_000);
  },
);

/** A zombie has no command line. */
function isAlive(pid: number): boolean {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) && readFileSync(file, 'utf8') !== '';
}
