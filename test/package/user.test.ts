/**
 * The steps of a new user, in a project outside of this repository, with the packed tarball. The commands are those of
 * docs/your-repository.md.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { blockOf } from '../support/blocks.ts';
import { need } from '../support/need.ts';
import { Dev } from './support/dev.ts';
import { command, emptyFolder, type Result, type User, write } from './support/project.ts';
import { serveSet } from './support/serve-set.ts';
import { insertRows, useAll } from './support/use.ts';
import { CREATE, NPM, shell, TEST, useProject } from './support/use-project.ts';

const SERVE = blockOf('docs/your-repository.md: npx muster migrate');

const project = useProject();

test('the test of a new project passes, and its types are right', { timeout: 60_000 }, async () => {
  const tested = await command(project.folder, shell(TEST));
  expect(tested.stdout).toContain('pass 2');
  expect(tested.code).toBe(0);
  expect(await command(project.folder, ['npx', 'tsc'])).toMatchObject({ code: 0, stdout: '' });
});

/** The files that `muster init` lists with this word. */
function listed(word: string, { stdout }: Result): string[] {
  const line = new RegExp(`^${word} +(\\S+?),?(?: which exists)?$`, 'gm');
  return [...stdout.matchAll(line)].map(([, file]) => file!);
}

test('init keeps existing files', async () => {
  const folder = emptyFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const muster = join(project.folder, 'node_modules/.bin/muster');
  const init = () => command(folder, [muster, 'init', '--yes']);
  const files = listed('created', await init());
  expect(files).toEqual(
    expect.arrayContaining(['package.json', '.gitignore', 'functions/orders.ts']),
  );
  for (const file of files) writeFileSync(join(folder, file), 'mine');
  rmSync(join(folder, 'Dockerfile'));
  symlinkSync('nowhere', join(folder, 'Dockerfile')); // writing would create a file elsewhere
  rmSync(join(folder, 'shop.sql'));

  const again = await init();
  expect(listed('created', again)).toEqual(['shop.sql']);
  expect(listed('kept', again)).toEqual(files.filter((file) => file !== 'shop.sql'));
  expect(readdirSync(folder)).not.toContain('nowhere');
  const kept = files.filter((file) => !['shop.sql', 'Dockerfile'].includes(file));
  expect(kept.filter((file) => readFileSync(join(folder, file), 'utf8') !== 'mine')).toEqual([]);
});

test(
  'the commands that init prints for a package.json of its own make the project work',
  { timeout: 120_000 },
  async () => {
    const folder = emptyFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const theirs = join(folder, 'theirs');
    const before = { private: true, scripts: { lint: 'true', dev: 'echo mine' } };
    write(theirs, { 'package.json': JSON.stringify(before) });
    const init = ['init', 'theirs', '--yes', '--package', `file:${project.packed.tarball}`];
    const { stdout } = await command(folder, [
      join(project.folder, 'node_modules/.bin/muster'),
      ...init,
    ]);
    const lines = stdout.split('package.json is kept. Add what it lacks:')[1]!;
    // npm finds most of it there, and need not unpack it
    execFileSync('cp', ['-al', join(project.folder, 'node_modules'), theirs]);
    expect(await command(folder, shell(lines), NPM)).toMatchObject({ code: 0 });
    const manifest = JSON.parse(readFileSync(join(theirs, 'package.json'), 'utf8')) as object;
    expect(manifest).toMatchObject({ ...before, type: 'module' });
    expect((await command(theirs, shell(TEST))).stdout).toContain('pass 2');
    expect(await command(theirs, ['npm', 'run', 'types'])).toMatchObject({ code: 0 });
    const again = await command(folder, [join(theirs, 'node_modules/.bin/muster'), ...init]);
    expect(again.stdout).toContain('package.json is kept, and lacks nothing.');
  },
);

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

    const shop = await insertRows(dev, introduction);
    const { rows } = await shop.query('select order_id, weight from orders.shipment order by 1');
    expect(rows).toEqual([
      { order_id: '4711', weight: 300 },
      { order_id: 'example', weight: 1 },
    ]);

    const file = join(project.folder, 'functions/orders.ts');
    const good = readFileSync(file, 'utf8');
    const other = commands[0]!
      .replace('"order_id":"example"', '"order_id":"other"')
      .replace('"id":1', '"id":7');
    expect(JSON.parse(await post(other))).toMatchObject({ sets: [{ status: 'waiting' }] });
    writeFileSync(file, good.replace("complete: all('paid', 'packed')", "complete: all('paid')"));
    expect(await dev.says('reloaded: orders')).toContain('changed: functions/orders.ts');
    // the stored set has become complete by the new rule
    await dev.says('"order":"other"');

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
  'a user who is not root creates, tests, develops, builds and serves a project',
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
    need(code === 0 ? null : 'another user can not run npm here', skip);
    const created = await command(home, shell(CREATE), { ...env, MUSTERJS: tarball }, nobody);
    expect(created).toMatchObject({ code: 0 });
    const theirs = join(home, 'my-orders');
    expect((await command(theirs, shell(TEST), env, nobody)).stdout).toContain('pass 2');
    await useAll(theirs, { dev: 'npm run dev --', muster: ['npx', 'muster'], env, user: nobody });
  },
);
