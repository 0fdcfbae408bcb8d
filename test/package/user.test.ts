/**
 * The steps of a new user, in a project outside of this repository, with the packed tarball. The commands are those of
 * docs/your-repository.md.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { blockOf } from '../support/blocks.ts';
import { Dev } from './support/dev.ts';
import { command, emptyFolder, type User } from './support/project.ts';
import { serveSet } from './support/serve-set.ts';
import { CREATE, NPM, shell, TEST, useProject } from './support/use-project.ts';

const INSERT = blockOf(
  'docs/your-repository.md: insert into shop.parcel (order_id, weight) values (4711, 300',
);
const SERVE = blockOf('docs/your-repository.md: npx muster migrate');

const project = useProject();

test('the test of a new project passes, and its types are right', { timeout: 60_000 }, async () => {
  const tested = await command(project.folder, shell(TEST));
  expect(tested.stdout).toContain('pass 2');
  expect(tested.code).toBe(0);
  expect(await command(project.folder, ['npx', 'tsc'])).toMatchObject({ code: 0, stdout: '' });
});

test('init keeps existing files', async () => {
  const before = readFileSync(join(project.folder, 'package.json'), 'utf8');
  const again = await command(project.folder, ['npx', 'muster', 'init', '--yes']);
  expect(again.code).toBe(0);
  expect(again.stdout).toMatch(/^kept {5}package\.json, which exists$/m);
  expect(again.stdout).not.toContain('created');
  expect(readFileSync(join(project.folder, 'package.json'), 'utf8')).toBe(before);
});

test(
  'dev runs a set, reloads a changed rule, and goes on after a mistake',
  { timeout: 120_000 },
  async () => {
    const consolePort = await freePort();
    const dev = new Dev(project.folder, await freePort(), consolePort);
    const introduction = await dev.says('Ctrl-C ends.');
    await dev.says('following shop.parcel, shop.payment');
    const commands = introduction.split('\n').filter((line) => line.startsWith('  curl '));
    expect(commands).toHaveLength(2);
    const post = async (line: string) =>
      (await command(project.folder, ['sh', '-c', `${line} -s`])).stdout;
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

    const file = join(project.folder, 'functions/orders.ts');
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
  'migrate and serve run the functions of the project as they are',
  { timeout: 60_000 },
  async () => {
    expect(await serveSet(project.folder, SERVE)).toContain('order.shipped');
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
    copyFileSync(project.packed.tarball, tarball);
    chmodSync(tarball, 0o644);
    const env = { ...NPM, HOME: home, npm_config_cache: join(home, '.npm') };
    const { code } = await command(home, ['npm', '--version'], env, nobody);
    if (code !== 0) skip('another user can not run npm here');
    const created = await command(home, shell(CREATE), { ...env, MUSTERJS: tarball }, nobody);
    expect(created).toMatchObject({ code: 0 });
    const theirs = join(home, 'my-orders');
    expect((await command(theirs, shell(TEST), env, nobody)).stdout).toContain('pass 2');
    const dev = new Dev(theirs, await freePort(), await freePort(), { user: nobody });
    await dev.says('Ctrl-C ends.');
    expect(await dev.stop()).toBe(0);
    const built = await command(theirs, ['npx', 'muster', 'build'], env, nobody);
    expect(built).toMatchObject({ code: 0, stderr: '' });
  },
);
