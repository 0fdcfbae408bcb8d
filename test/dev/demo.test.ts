import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test as base } from 'vitest';
import { processes } from './support/processes.ts';
import { until } from './support/source.ts';

/** A demo in a folder of the test's own. */
interface Demo {
  readonly process: ChildProcess;
  readonly lines: string[];
  /** Settles with the exit code, or the signal it died of, and all it printed. */
  readonly ended: Promise<{ how: unknown; output: string }>;
}

const test = base.extend<{ place: string }>({
  place: async ({}, use) => {
    const name = `test-${randomBytes(4).toString('hex')}`;
    await use(name);
    await until(() => commandsOf(name).length === 0);
    rmSync(`.muster/${name}`, { recursive: true, force: true });
  },
});

/** Left-over processes are looked for in /proc. */
const notLinux = process.platform !== 'linux';

function start(name: string, ...flags: string[]): Demo {
  const child = spawn(
    process.execPath,
    ['src/dev/demo.ts', '--name', name, '--seed', '7', ...flags],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines: string[] = [];
  const printed = createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const ended = Promise.all([once(child, 'exit'), once(printed, 'close')]).then(
    ([[code, signal]]) => ({
      how: signal ?? code,
      output: lines.join('\n'),
    }),
  );
  return { process: child, lines, ended };
}

/** Those that have the folder in their command line. */
function commandsOf(name: string): string[] {
  return processes().flatMap(({ command }) => (command.includes(name) ? [command] : []));
}

/** What the demo has started: PostgreSQL, the function, and a shell that watches over each. */
function childrenOf(demo: Demo): number[] {
  return processes().flatMap(({ pid, parent }) => (parent === demo.process.pid ? [pid] : []));
}

/** Those of them that live; a zombie does not. */
function alive(pids: number[]): string[] {
  return processes().flatMap(({ pid, command }) =>
    pids.includes(pid) && command ? [command] : [],
  );
}

const processed = ({ lines }: Demo) =>
  lines.filter((line) => line.startsWith('processed  ')).length;
const FINE = /\ntwice +0\nmissing +0$/;

test.skipIf(notLinux)(
  'it ends by itself after so many spans, each processed once, and leaves no process behind',
  async ({ place }) => {
    const demo = start(place, '--for', '10', '--rate', '100');
    await until(() => processed(demo) > 0);
    const children = childrenOf(demo);
    expect(children).toHaveLength(6); // PostgreSQL, the function, the console, and who watches over each
    const { how, output } = await demo.ended;

    expect(output).toMatch(FINE);
    expect(how).toBe(0);
    expect(processed(demo)).toBeGreaterThanOrEqual(10);
    expect(alive(children)).toEqual([]);
    expect(commandsOf(place)).toEqual([]);
  },
);

test.skipIf(notLinux)(
  'the curl line that it prints shows the set of the event, and Ctrl-C ends it in good order',
  async ({ place }) => {
    const demo = start(place, '--for', '100000', '--rate', '50');
    await until(() => demo.lines.some((line) => line.startsWith('curl ')));
    const curl = demo.lines.find((line) => line.startsWith('curl ')) ?? '';
    const answer = JSON.parse(execFileSync('sh', ['-c', curl], { encoding: 'utf8' }));
    expect(answer.sets).toEqual([expect.objectContaining({ function: 'recordings' })]);

    demo.process.kill('SIGINT');
    const { how, output } = await demo.ended;
    expect(output).toMatch(FINE);
    expect(how).toBe(0);
  },
);

test.skipIf(notLinux)(
  'after kill -9 the next start goes on, and nothing is lost or done twice',
  async ({ place }) => {
    const killed = start(place, '--for', '100000', '--rate', '200');
    await until(() => processed(killed) >= 10);
    const children = childrenOf(killed);
    killed.process.kill('SIGKILL');
    expect((await killed.ended).how).toBe('SIGKILL');

    const next = start(place, '--for', '10', '--rate', '100');
    const { how, output } = await next.ended;
    expect(output).toMatch(FINE);
    expect(how).toBe(0);
    expect(
      Number(/^processed +(\d+)/m.exec(output.slice(output.indexOf('complete in the table')))?.[1]),
    ).toBeGreaterThan(20);
    await until(() => alive(children).length === 0);
  },
);

test.skipIf(notLinux)(
  'after kill -9 everything that it started ends by itself',
  async ({ place }) => {
    const demo = start(place);
    await until(() => processed(demo) > 0);
    const children = childrenOf(demo);
    demo.process.kill('SIGKILL');
    await demo.ended;
    await until(() => alive(children).length === 0);
    expect(commandsOf(place)).toEqual([]);
  },
);
