import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { rootCertificates } from 'node:tls';

/** Who the image runs as, unless somebody says otherwise: nobody that any system has. */
export const USER = 65_532;

/**
 * Writes the root file system below `/app` into a folder, which it replaces. All that is in it:
 *
 *     usr/local/bin/node                 the Node that runs this, and
 *     lib…, lib64/…                      the C libraries it names (glibc and GCC's), from this machine
 *     etc/passwd, group, nsswitch.conf   the user; /etc/hosts comes before DNS
 *     etc/ssl/certs/ca-certificates.crt  Mozilla's certificates, as Node carries them
 *     usr/share/doc/<package>/copyright  whose they are: Node's, and where Debian's tools say it the
 *     var/lib/dpkg/status.d/<package>    libraries', in the form in which scanners look for it
 *     app, tmp                           empty
 *
 * No shell and no package manager. Linux only: elsewhere Docker runs it.
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

/** Absolute paths, the loader's among them. */
function librariesOf(program: string): string[] {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

/** Beside `bin/`, where the packages of Node and its own archives have it. */
function licenceOf(node: string): string {
  const file = join(dirname(node), '../LICENSE');
  if (!existsSync(file)) throw new Error(`the licence of ${node} is not beside it (${file})`);
  return file;
}

/** Debian's names of the packages that files come from; empty on another system. */
function packagesOf(files: readonly string[]): Set<string> {
  const names = files.flatMap((file) => {
    // Debian moved /lib below /usr without telling dpkg of every file.
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
