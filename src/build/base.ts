import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { rootCertificates } from 'node:tls';

/** The image's default user: an id that no system uses. */
export const USER = 65_532;

/** This machine's architecture, in the terms of images. */
export function architecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

/**
 * Throws if no image for this platform can be written here: its Node and C libraries are copied from this machine,
 * and its compile cache is written by running the bundle.
 */
export function requirePlatform(platform: string): void {
  const own = `${process.platform}/${architecture()}`;
  if (platform === own) return;
  const what = 'contains the Node and the C libraries of the machine that writes it';
  throw new Error(
    `an image ${what}, which is ${own}: to get one for ${platform}, run this command on such a machine, or use the Dockerfile: docker buildx build --platform ${platform} .`,
  );
}

/**
 * Writes the root file system underneath `/app` into a folder, which it replaces. Its entire content:
 *
 *     usr/local/bin/node                 the Node that runs this script, and
 *     lib…, lib64/…                      the C libraries it links (glibc and GCC's), from this machine
 *     etc/passwd, group, nsswitch.conf   the user; /etc/hosts comes before DNS
 *     etc/ssl/certs/ca-certificates.crt  Mozilla's certificates, as bundled with Node
 *     usr/share/doc/<package>/copyright  the licences: Node's, and, if Debian's tools know them, the
 *     var/lib/dpkg/status.d/<package>    libraries', in the format that scanners look for
 *     app, tmp                           empty
 *
 * It has no shell and no package manager. Runs on Linux only; elsewhere use Docker.
 */
export function writeBase(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  for (const each of ['app', 'etc/ssl/certs', 'usr/local/bin', 'usr/share/doc/node']) {
    mkdirSync(join(folder, each), { recursive: true });
  }
  mkdirSync(join(folder, 'tmp'));
  chmodSync(join(folder, 'tmp'), 0o1777);
  const node = process.execPath;
  copyFileSync(node, join(folder, 'usr/local/bin/node'));
  copyFileSync(licenceOf(node), join(folder, 'usr/share/doc/node/copyright'));
  const libraries = librariesOf(node);
  for (const library of libraries) {
    mkdirSync(join(folder, dirname(library)), { recursive: true });
    copyFileSync(library, join(folder, library));
  }
  for (const name of packagesOf(libraries)) describePackage(folder, name);
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

/** Returns the Debian packages that the files come from; empty on other systems. */
function packagesOf(files: readonly string[]): Set<string> {
  const names = files.flatMap((file) => {
    // Debian moved /lib below /usr without updating every path in dpkg.
    for (const path of [file, join('/usr', file)]) {
      const name = /^([^:,]+)/.exec(query('dpkg-query', '--search', path))?.[1];
      if (name !== undefined) return [name];
    }
    return [];
  });
  return new Set(names);
}

function describePackage(folder: string, name: string): void {
  const status = join(folder, 'var/lib/dpkg/status.d');
  mkdirSync(status, { recursive: true });
  writeFileSync(join(status, name), query('dpkg-query', '--status', name));
  const copyright = join('usr/share/doc', name, 'copyright');
  if (!existsSync(join('/', copyright))) return;
  mkdirSync(join(folder, dirname(copyright)), { recursive: true });
  copyFileSync(join('/', copyright), join(folder, copyright));
}

function query(command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
}
