import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test as base, vi } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { COMPILED } from '../support/process.ts';
import { processes } from './support/processes.ts';
import { until } from './support/source.ts';

// A demo takes at least the 10 seconds after which its first set is overdue.
vi.setConfig({ testTimeout: 60_000 });

/** A demo in the test's own folder. */
interface Demo {
  readonly process: ChildProcess;
  readonly lines: string[];
  /** Resolves with the exit code, or the signal that killed it, and its whole output. */
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

/** The tests look for leftover processes in /proc. */
const notLinux = process.platform !== 'linux';

function start(name: string, ...flags: string[]): Demo {
  const child = spawn(
    process.execPath,
    ['dev/demo/demo.ts', '--name', name, '--seed', '7', ...flags],
    {
      env: { ...process.env, ...COMPILED },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines: string[] = [];
  const print = (line: string) => lines.push(line);
  const printed = createInterface({ input: child.stdout }).on('line', print);
  createInterface({ input: child.stderr }).on('line', print);
  const ended = Promise.all([once(child, 'close'), once(printed, 'close')]).then(
    ([[code, signal]]) => ({
      how: signal ?? code,
      output: lines.join('\n'),
    }),
  );
  return { process: child, lines, ended };
}

/** Returns the commands that contain the folder's name. */
function commandsOf(name: string): string[] {
  return processes().flatMap(({ command }) => (command.includes(name) ? [command] : []));
}

/** Returns the demo's child processes: PostgreSQL, the function, the console, and a watcher for each. */
function childrenOf(demo: Demo): number[] {
  return processes().flatMap(({ pid, parent }) => (parent === demo.process.pid ? [pid] : []));
}

/** Returns the commands of those that are alive, without zombies. */
function alive(pids: number[]): string[] {
  return processes().flatMap(({ pid, command }) =>
    pids.includes(pid) && command ? [command] : [],
  );
}

const run = (command: string) => execFileSync('sh', ['-c', command], { encoding: 'utf8' });
const processed = ({ lines }: Demo) =>
  lines.filter((line) => line.startsWith('processed  ')).length;
const FINE = /\nprocessed twice +0\nnot processed +0\n/;

test.skipIf(notLinux)(
  'the demo stops after --for spans, each processed once, and leaves no process running',
  async ({ place }) => {
    const demo = start(place, '--for', '10', '--rate', '100');
    await until(() => processed(demo) > 0);
    const children = childrenOf(demo);
    expect(children).toHaveLength(6); // PostgreSQL, the function, the console, and a watcher for each
    const { how, output } = await demo.ended;

    expect(output).toMatch(FINE);
    expect(how).toBe(0);
    expect(processed(demo)).toBeGreaterThanOrEqual(10);
    expect(alive(children)).toEqual([]);
    expect(commandsOf(place)).toEqual([]);
  },
);

test.skipIf(notLinux)(
  'the demo shows an overdue set and two commands that explain it, and Ctrl-C stops it in an orderly way',
  async ({ place }) => {
    const demo = start(place, '--for', '100000', '--rate', '50');
    const line = (beginning: string) => demo.lines.find((each) => each.startsWith(beginning));
    await until(() => line('  curl '));
    expect(line('overdue  ')).toMatch(
      /^overdue +[0-9a-f-]{36} +0–60 s +no accelerometer signal within 10 seconds$/,
    );
    const recording = line('overdue  ')!.split(/ +/)[1]!;

    const explained = run(line('  DATABASE_URL=')!);
    expect(explained).toContain(`recordings ["${recording}","[0,60000000000)"]: waiting`);
    expect(explained).toContain('\n  accelerometer: missing\n');
    const answer = JSON.parse(run(line('  curl ')!));
    const waits = { status: 'waiting', missing: ['accelerometer'] };
    expect(answer.sets).toEqual([expect.objectContaining({ function: 'recordings', ...waits })]);

    demo.process.kill('SIGINT');
    const { how, output } = await demo.ended;
    expect(output).toMatch(FINE);
    expect(how).toBe(0);
  },
);

test.skipIf(notLinux)(
  'after kill -9 the next start continues, and nothing is lost or processed twice',
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

test.skipIf(notLinux)('after kill -9 all its child processes stop', async ({ place }) => {
  const demo = start(place);
  await until(() => processed(demo) > 0);
  const children = childrenOf(demo);
  demo.process.kill('SIGKILL');
  await demo.ended;
  await until(() => alive(children).length === 0);
  expect(commandsOf(place)).toEqual([]);
});

test.for(['127.0.0.1', '::1', '0.0.0.0'])(
  'a port that is in use on %s is refused before anything starts',
  async (host, { place }) => {
    let requests = 0;
    const stranger = createServer((_request, response) => {
      requests += 1;
      response.end('ready');
    });
    stranger.listen(0, host);
    await once(stranger, 'listening');
    onTestFinished(() => void stranger.close());
    const { port } = stranger.address() as AddressInfo;

    const { how, output } = await start(place, '--port', String(port), '--for', '3').ended;
    const owner = notLinux ? '.*' : `\\S+ \\(process ${process.pid}\\)`;
    expect(output).toMatch(new RegExp(`^demo: port ${port} is in use by ${owner}; stop it`));
    expect(how).toBe(1);
    expect(requests).toBe(0);
    expect(existsSync(`.muster/${place}`)).toBe(false);
  },
);

test.for([
  ['--port 99999', 'A port is a whole number from 1 to 65535.'],
  ['--port 0', 'A port is a whole number from 1 to 65535.'],
  ['--for x', 'It must be a whole number from 1 to 999999999.'],
  ['--rate 0', 'It must be a number above 0.'],
  ['--name A_B', 'It must contain only lower-case letters, digits and dashes.'],
  ['--colour', "unknown option '--colour'"],
  ['fast', 'too many arguments'],
] as const)('%s exits with code 2 and prints %s', async ([flags, what], { place }) => {
  const { how, output } = await start(place, ...flags.split(' ')).ended;
  expect(output).toContain(what);
  expect(output).toContain('--help lists all flags');
  expect(how).toBe(2);
});

test('without a terminal the demo prints no control characters', async ({ place }) => {
  const { output } = await start(place, '--for', '3', '--sensors', '0').ended;
  expect(output.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
});

test('a set sent by hand, with an unusual key, is shown like any other', async ({ place }) => {
  const port = await freePort();
  const demo = start(place, '--for', '100000', '--port', String(port), '--sensors', '0');
  await until(() => processed(demo) > 0);
  const source = { name: 'me', schema: 'datastore', table: 'signal', lsn: 1, ts_ms: 0 };
  const after = { id: '1', recording: 'r', span: '[0,60)', sensor_type: 'eeg' };
  const answer = await fetch(`http://127.0.0.1:${port}`, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-id': '1',
      'ce-source': '/me',
      'ce-type': 'dev.knative.kafka.event',
    },
    body: JSON.stringify({ op: 'c', before: null, after, source }),
  });
  expect(answer.status).toBe(204);
  await until(() => demo.lines.some((line) => line.startsWith('overdue    r  ')));
  demo.process.kill('SIGINT');
  expect((await demo.ended).how).toBe(0);
});
