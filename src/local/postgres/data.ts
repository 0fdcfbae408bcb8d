import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Home } from './home.ts';

/** Creates the data folder atomically, so that a run killed in between leaves no partial folder. */
export function initialise({ native, folder, user }: Home): void {
  const half = join(folder, 'data.new');
  const password = join(folder, 'password');
  rmSync(half, { recursive: true, force: true });
  writeFileSync(password, randomBytes(18).toString('hex'), { mode: 0o600 });
  if (user) chownSync(password, user.uid, user.gid);
  const flags = [
    '--encoding=UTF8',
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
  ];
  const args = [
    `--pgdata=${half}`,
    '--username=postgres',
    '--auth=scram-sha-256',
    `--pwfile=${password}`,
    '--no-sync',
    ...flags,
  ];
  const env = { PATH: process.env['PATH'], LC_ALL: 'C' };
  try {
    execFileSync(join(native, 'bin', 'initdb'), args, { cwd: '/', env, stdio: 'pipe', ...user });
  } catch (error) {
    const [, id] = /could not look up effective user ID (\d+)/.exec(String(error)) ?? [];
    if (id === undefined) throw error;
    throw new Error(
      `PostgreSQL does not start for a user without a name, which is usual in containers: give user ${id} one (useradd --uid ${id} muster), or give the URL of a database where there is that option`,
      { cause: error },
    );
  }
  renameSync(half, join(folder, 'data'));
}

/** Throws for data files of another major version, with a clearer message than the server's. */
export function checkVersion({ native, folder }: Home): void {
  const made = readFileSync(join(folder, 'data', 'PG_VERSION'), 'utf8').trim();
  const version = execFileSync(join(native, 'bin', 'postgres'), ['--version'], {
    encoding: 'utf8',
  });
  if (!version.includes(` ${made}.`)) {
    throw new Error(
      `${folder} was created by PostgreSQL ${made}, this is ${version.trim()}; delete or move it, or start with --fresh where there is that option`,
    );
  }
}

/** Requires a password: with `trust`, every user of this machine could run commands as the server's user. */
export function urlOf({ folder }: Home, port: number, database: string): string {
  const password = readFileSync(join(folder, 'password'), 'utf8').trim();
  return `postgres://postgres:${password}@127.0.0.1:${port}/${database}`;
}
