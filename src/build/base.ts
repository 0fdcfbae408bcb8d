import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { ownArchitecture } from './platform.ts';
import { runTool } from './tool.ts';

/** The image's default user: an id that no system uses. */
export const USER = 65_532;

/** What the root file system of an image is made of. */
export interface BaseFiles {
  readonly architecture: string;
  readonly node: string;
  /** The libraries that Node links, including the loader, by their paths in the image. */
  readonly libraries: ReadonlyMap<string, string>;
  /** The root of the system that the libraries belong to. */
  readonly system: string;
}

/** Returns the Node that runs this script, and this machine's libraries. */
export function ownFiles(): BaseFiles {
  const node = process.execPath;
  const libraries = new Map(librariesOf(node).map((path) => [path, path]));
  return { architecture: ownArchitecture(), node, libraries, system: '/' };
}

/**
 * Writes the root file system underneath `/app` into a folder, which it replaces. Its entire content:
 *
 *     usr/local/bin/node                 Node, by default the one that runs this script, and
 *     lib…, lib64/…                      the C libraries it links (glibc and GCC's), by default this machine's
 *     etc/passwd, group, nsswitch.conf   the user; /etc/hosts comes before DNS
 *     etc/ssl/certs/ca-certificates.crt  Mozilla's certificates, as bundled with Node
 *     usr/share/doc/<package>/copyright  the licences: Node's, and, if Debian's tools know them, the
 *     var/lib/dpkg/status.d/<package>    libraries', in the format that scanners look for
 *     app, tmp                           empty
 *
 * It has no shell and no package manager. Runs on Linux only; elsewhere use Docker.
 */
export function writeBase(folder: string, files: BaseFiles = ownFiles()): void {
  rmSync(folder, { recursive: true, force: true });
  for (const each of ['app', 'etc/ssl/certs', 'usr/local/bin', 'usr/share/doc/node']) {
    mkdirSync(join(folder, each), { recursive: true });
  }
  mkdirSync(join(folder, 'tmp'));
  chmodSync(join(folder, 'tmp'), 0o1777);
  const { node, libraries, system } = files;
  copyFileSync(node, join(folder, 'usr/local/bin/node'));
  copyFileSync(licenceOf(node), join(folder, 'usr/share/doc/node/copyright'));
  for (const [path, file] of libraries) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    copyFileSync(file, join(folder, path));
  }
  for (const name of packagesOf([...libraries.keys()], system)) {
    describePackage(folder, name, system);
  }
  const text = (path: string, content: string) => writeFileSync(join(folder, path), content);
  text('etc/passwd', `root:x:0:0::/:/\nmuster:x:${USER}:${USER}::/app:/\n`);
  text('etc/group', `root:x:0:\nmuster:x:${USER}:\n`);
  text('etc/nsswitch.conf', 'hosts: files dns\n');
  text('etc/ssl/certs/ca-certificates.crt', `${rootCertificates.join('\n')}\n`);
}

/** Returns the absolute paths of the linked libraries, including the loader. */
function librariesOf(program: string): string[] {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

/** Returns the path of Node's licence, which npm packages and Node's archives have next to `bin/`. */
function licenceOf(node: string): string {
  const file = join(dirname(node), '../LICENSE');
  if (!existsSync(file)) throw new Error(`the licence of ${node} was not found (${file})`);
  return file;
}

/** Returns the Debian packages that a system's files come from; empty for other systems. */
function packagesOf(files: readonly string[], system: string): Set<string> {
  const names = files.flatMap((file) => {
    // Debian moved /lib below /usr without updating every path in dpkg.
    for (const path of [file, join('/usr', file)]) {
      const name = /^([^,]+?)(?:, .*)?: /.exec(queryPackages(system, '--search', path))?.[1];
      if (name !== undefined) return [name];
    }
    return [];
  });
  return new Set(names);
}

/** Adds a package, named with its architecture. */
function describePackage(folder: string, qualified: string, system: string): void {
  const status = join(folder, 'var/lib/dpkg/status.d');
  const name = qualified.replace(/:.*/, '');
  mkdirSync(status, { recursive: true });
  writeFileSync(join(status, name), queryPackages(system, '--status', qualified));
  const copyright = join('usr/share/doc', name, 'copyright');
  if (!existsSync(join(system, copyright))) return;
  mkdirSync(join(folder, dirname(copyright)), { recursive: true });
  copyFileSync(join(system, copyright), join(folder, copyright));
}

function queryPackages(system: string, ...args: string[]): string {
  try {
    const records = `--admindir=${join(system, 'var/lib/dpkg')}`;
    return runTool('dpkg-query', [records, ...args]).toString();
  } catch {
    return '';
  }
}
