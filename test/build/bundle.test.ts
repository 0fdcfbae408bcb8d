import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Metafile } from 'esbuild';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { bundleAll } from '../../build/bundle.ts';
import { warmUp, type Runtime } from '../../src/build/warm-up.ts';
import { freePort } from '../../src/local/port.ts';
import { Readiness } from '../../src/local/readiness.ts';
import { durableServer } from '../support/durable.ts';
import { freshDatabase } from '../support/fresh-database.ts';
import { until } from '../support/until.ts';
import { startCollector } from '../telemetry/collector.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'muster-bundle-test-'));
const dist = join(home, 'read-only');
let runtime: Runtime & { node: string };
let metafile: Metafile;

beforeAll(async () => {
  chmodSync(home, 0o755);
  runtime = someUser();
  const written = join(home, 'written');
  metafile = await bundleAll(written);
  const cache = join(written, 'cache');
  mkdirSync(cache);
  if (runtime.user) chownSync(cache, runtime.user.uid, runtime.user.gid);
  await warmUp(written, cache, runtime);
  cpSync(written, dist, { recursive: true, verbatimSymlinks: true });
  for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) {
      chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o555 : 0o444);
    }
  }
});

afterAll(() => rmSync(home, { recursive: true, force: true }));

test('a read-only copy of the bundle migrates, serves, runs handlers, explains, and stops at SIGTERM', async () => {
  const { url, stop } = await durableServer();
  onTestFinished(stop);
  const database = new pg.Client(url);
  await database.connect();
  const readiness = new Readiness();
  const env = {
    ...readiness.env,
    DATABASE_URL: url,
    SINK: 'stdout',
    HOST: '127.0.0.1',
    PORT: String(await freePort()),
    NODE_COMPILE_CACHE: join(dist, 'cache'),
    NODE_COMPILE_CACHE_PORTABLE: '1',
    NODE_DEBUG_NATIVE: 'COMPILE_CACHE',
  };
  const muster = (...args: string[]) => {
    const options = { env, encoding: 'utf8', cwd: '/', ...runtime.user } as const;
    const { status, stdout } = spawnSync(runtime.node, [join(dist, 'muster.js'), ...args], options);
    return { status, stdout };
  };

  expect(muster('migrate')).toEqual({
    status: 0,
    stdout: expect.stringMatching(
      /^migrated: 001_tables(, \w+)*, recordings\/001_processed, travelers\/001_travelers\nregistered: recordings, generation 1\nregistered: travelers, a projection of movements\n$/,
    ) as string,
  });

  await database.query(readFileSync(join(root, 'dev/demo/datastore.sql'), 'utf8'));
  const doctor = muster('doctor', '--no-cluster');
  expect(doctor.stdout).toContain('  ✓ migrations: ');
  expect(doctor.status).toBe(0);

  const serve = spawn(runtime.node, [join(dist, 'muster.js'), 'serve'], {
    env,
    cwd: '/',
    ...runtime.user,
  });
  const said = { stdout: '', stderr: '' };
  serve.stdout.on('data', (chunk) => (said.stdout += chunk));
  serve.stderr.on('data', (chunk) => (said.stderr += chunk));
  await until(async () => {
    if (serve.exitCode !== null) throw new Error(said.stderr);
    return readiness.at(`http://127.0.0.1:${env.PORT}`);
  });

  const recording = randomUUID();
  const broken = randomUUID();
  const insert = async (sensor: string, of: string, rate: number) => {
    const { rows } = await database.query(
      `insert into datastore.signal (recording, span, sensor_type, channels, sample_rate)
       values ($1, '[0,60)', $2, '{a,b}', $3) returning id, recording, span, sensor_type`,
      [of, sensor, rate],
    );
    return post(env.PORT, rows[0]);
  };
  expect(await insert('eeg', recording, 250)).toBe(204);
  const key = JSON.stringify([recording, '[0,60)']);
  expect(JSON.parse(muster('explain', 'recordings', key, '--json').stdout)).toMatchObject({
    status: 'waiting',
    missing: ['accelerometer'],
  });
  expect(await insert('accelerometer', recording, 50)).toBe(204);
  const event = await until(() => /^\{.*"recording\.processed".*$/m.exec(said.stdout)?.[0]);
  expect(JSON.parse(event)).toMatchObject({ subject: recording, data: { seconds: 6e-8 } });
  expect(muster('explain', 'recordings', key).stdout).toContain(': done\n');

  // The function's TerminalError is the runner's class, so there is no second attempt.
  expect(await insert('eeg', broken, 0)).toBe(204);
  expect(await insert('accelerometer', broken, 50)).toBe(204);
  await until(() => muster('sets', '--failed').stdout.includes('TerminalError: signal'));

  serve.kill('SIGTERM');
  expect(await once(serve, 'exit')).toEqual([0, null]);
  await database.end();

  // Compiled code was read from the cache, and nothing was written to it.
  const lines = said.stderr.split('\n').filter((line) => line.startsWith('[compile cache]'));
  const files = (of: RegExp) =>
    lines.flatMap((line) => (of.test(line) ? (/[^/]+\.js/.exec(line)?.[0] ?? []) : []));
  // The thread that renews leases starts after the first handler, when it delays nothing; it is compiled then.
  const read = files(/reading cache/);
  const thread = read.indexOf('heartbeat-thread.js');
  const first = read.slice(0, thread === -1 ? undefined : thread);
  const accepted = files(/was accepted/);
  expect(first.filter((file) => !accepted.includes(file))).toEqual([]);
  expect(first).toContain('recordings.js');
  const late = read.filter((file) => !accepted.includes(file));
  const written = lines.filter((line) => /writing|temporary/i.test(line));
  expect(written.filter((line) => !late.some((file) => line.includes(file)))).toEqual([]);
  // A server reads only its own script, from one file, and its function.
  expect(first.filter((file) => file.startsWith('chunk')).length).toBeLessThan(4);
});

test('V8 accepts the code cache of the server, which contains the functions that ran', () => {
  const compile = `
    const { readFileSync, statSync } = require('node:fs');
    const [filename, cache] = process.argv.slice(1);
    const cachedData = readFileSync(cache);
    const source = readFileSync(filename, 'latin1');
    const { cachedDataRejected } = new (require('node:vm').Script)(source, { filename, cachedData });
    const untouched = new (require('node:vm').Script)(source).createCachedData();
    console.log(JSON.stringify({ cachedDataRejected, ratio: cachedData.length / untouched.length }));`;
  const args = ['-e', compile, join(dist, 'src/serve.cjs'), join(dist, 'cache/serve')];
  const { stdout } = spawnSync(runtime.node, args, { encoding: 'utf8', cwd: '/', ...runtime.user });
  const { cachedDataRejected, ratio } = JSON.parse(stdout) as Record<string, unknown>;
  expect(cachedDataRejected).toBe(false);
  expect(ratio).toBeGreaterThan(3);
});

test('the bundle sends traces to the configured endpoint', async () => {
  const collector = await startCollector();
  const readiness = new Readiness();
  const env = {
    ...readiness.env,
    DATABASE_URL: (await freshDatabase()).url,
    HOST: '127.0.0.1',
    PORT: String(await freePort()),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  };
  const started = { env, cwd: '/', ...runtime.user };
  spawnSync(runtime.node, [join(dist, 'muster.js'), 'migrate'], started);
  const serve = spawn(runtime.node, [join(dist, 'muster.js'), 'serve'], started);
  let said = '';
  serve.stderr.on('data', (chunk) => (said += chunk));
  await until(async () => {
    if (serve.exitCode !== null) throw new Error(said);
    return readiness.at(`http://127.0.0.1:${env.PORT}`);
  });
  const row = { id: randomUUID(), recording: 'r', span: '[0,60)', sensor_type: 'eeg' };
  expect(await post(env.PORT, row)).toBe(204);
  serve.kill('SIGTERM');
  expect(await once(serve, 'exit')).toEqual([0, null]);
  await collector.close();

  expect(collector.spans.map(({ name }) => name).toSorted()).toEqual(['ingest-changes', 'process']);
});

test('the bundle contains no development-only code', () => {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>;
  };
  const inputs = Object.keys(metafile.inputs);
  const own = inputs.filter((input) => !input.includes('node_modules/'));
  expect(own.filter((input) => !/^(src|functions|dev)\//.test(input))).toEqual([]);
  // The simulators are separate programs; nothing else loads code from dev/.
  const loaded = new Set<string>();
  const load = (path: string) => {
    if (loaded.has(path)) return;
    loaded.add(path);
    metafile.outputs[path]?.imports.forEach((each) => load(each.path));
  };
  const programs = Object.keys(metafile.outputs).filter((path) =>
    /\/(muster\.js|serve\.cjs|functions\/[^/]+\.js)$/.test(path),
  );
  expect(programs).toHaveLength(4);
  programs.forEach(load);
  const lines = [...loaded].flatMap((path) => Object.keys(metafile.outputs[path]?.inputs ?? {}));
  expect(lines).toContain('src/process/engine.ts');
  expect(lines.filter((input) => input.startsWith('dev/'))).toEqual([]);
  const used = new Set(
    inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []),
  );
  expect(used.size).toBeGreaterThan(10);
  expect([...used].filter((name) => packages[name] === undefined || packages[name].dev)).toEqual(
    [],
  );
});

test.for(['headband', 'sensors'])('the simulator %s starts from the bundle', (name) => {
  const { status, stdout } = spawnSync(runtime.node, [join(dist, 'dev', `${name}.js`), '--help'], {
    encoding: 'utf8',
    cwd: '/',
    ...runtime.user,
  });
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: expect.stringMatching(/^Usage: /) as string,
  });
});

test("the server's script contains neither the doctor nor its clients", () => {
  const [, server] = Object.entries(metafile.outputs).find(([file]) =>
    file.endsWith('/serve.cjs'),
  )!;
  const inputs = Object.keys(server.inputs);
  expect(inputs).toContain('src/process/engine.ts');
  expect(inputs.filter((input) => /@kubernetes|undici|src\/doctor/.test(input))).toEqual([]);
});

test('source maps name sources by their paths in the project, and none is of other packages alone', () => {
  const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter(
    (file) => !file.startsWith('src/console/swagger-ui/'), // copied
  );
  const maps = files.filter((file) => file.endsWith('.js.map'));
  const read = (file: string) => readFileSync(join(dist, file), 'utf8');
  const sources = maps.map((file) =>
    (JSON.parse(read(file)) as { sources: string[] }).sources.map((each) => join(file, '..', each)),
  );
  expect(sources[maps.indexOf('functions/recordings.js.map')]).toEqual(['functions/recordings.ts']);
  expect(sources.flat()).toContain('src/runs/executor.ts');
  const own = /^(?:src|functions|dev)\//;
  expect(sources.filter((each) => !each.some((source) => own.test(source)))).toEqual([]);
  expect(
    sources.flat().filter((each) => !/^(?:src|functions|dev|node_modules)\//.test(each)),
  ).toEqual([]);
  const named = files.filter(
    (file) => file.endsWith('.js') && read(file).includes('\n//# sourceMappingURL='),
  );
  expect(named.map((file) => `${file}.map`).toSorted()).toEqual(maps.toSorted());
});

test('the bundle names the licence of every package in it', () => {
  const notices = readFileSync(join(dist, 'NOTICES.txt'), 'utf8');
  for (const name of [
    'fastify',
    'pg',
    'pino',
    'cloudevents',
    'node-pg-migrate',
    '@kubernetes/client-node',
  ]) {
    expect(notices).toMatch(new RegExp(`^${name} \\d`, 'm'));
  }
});

/** A user that can't write read-only files: for root the image's user, which must be able to run Node. */
function someUser(): Runtime & { node: string } {
  const node = process.execPath;
  if (process.getuid?.() !== 0) return { node };
  const user = { uid: 65_532, gid: 65_532 };
  if (spawnSync(node, ['--version'], { cwd: '/', ...user }).status === 0) return { node, user };
  copyFileSync(node, join(home, 'node'));
  return { node: join(home, 'node'), user };
}

let lsn = 0;

async function post(port: string, row: unknown): Promise<number> {
  lsn += 8;
  const source = { name: 'test', schema: 'datastore', table: 'signal', lsn, ts_ms: Date.now() };
  const { status } = await fetch(`http://127.0.0.1:${port}`, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-id': String(lsn),
      'ce-source': '/test',
      'ce-type': 'dev.knative.kafka.event',
    },
    body: JSON.stringify({ op: 'c', before: null, after: row, source }),
  });
  return status;
}
