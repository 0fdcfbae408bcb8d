import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { processes } from '../dev/support/processes.ts';
import { TestProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { test } from './support/test.ts';

const DEMO = fileURLToPath(new URL('../../dev/demo/demo.ts', import.meta.url));
const FLAGS = ['--kafka', '--rate', '100', '--seed', '7'];

/** Returns the processes that have the folder in their command line: PostgreSQL, Kafka, Connect. */
function left(name: string): string[] {
  return processes().flatMap(({ command }) => (command.includes(name) ? [command] : []));
}

test(
  'the demo with Kafka leaves no process running when it is killed, and the next start continues',
  {
    timeout: 150_000,
  },
  async ({ onTestFinished, pipeline }) => {
    await pipeline.stack.install(); // downloads must not count towards the test's timeout
    const name = `test-${randomBytes(4).toString('hex')}`;
    onTestFinished(async () => {
      await until(() => left(name).length === 0);
      rmSync(`.muster/${name}`, { recursive: true, force: true });
    });
    const killed = new TestProcess(DEMO, ['--name', name, ...FLAGS, '--for', '1000'], {});
    await until(() => killed.stdout.split('\nprocessed  ').length > 100, 60_000);
    expect(left(name).length).toBeGreaterThan(3);
    killed.kill('SIGKILL');
    await until(() => left(name).length === 0);

    const next = new TestProcess(DEMO, ['--name', name, ...FLAGS, '--for', '20'], {});
    const { code } = await next.exited;
    expect(next.stdout).toMatch(/\nprocessed twice +0\nnot processed +0\n/);
    expect(code).toBe(0);
  },
);
