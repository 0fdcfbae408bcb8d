/** A repository of Debian for an architecture that is not this machine's. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { namesOf, type Architecture } from '../../../src/build/platform.ts';

const LOADERS = {
  amd64: '/lib64/ld-linux-x86-64.so.2',
  arm64: '/lib/ld-linux-aarch64.so.1',
} as const;

/** What Debian installs for its cross compilers, from which the packages are made. */
function crossLibraries(architecture: Architecture): string {
  return `/usr/${namesOf(architecture).gnu}-linux-gnu/lib`;
}

/** Why there are no libraries of the architecture; null if there are. */
export function crossProblem(architecture: Architecture): string | null {
  return existsSync(join(crossLibraries(architecture), 'libstdc++.so.6'))
    ? null
    : `libstdc++6-${architecture}-cross is not installed`;
}

/** Makes the repository in a folder; returns variables with which apt-get uses no other one. */
export function makeRepository(folder: string, architecture: Architecture): Record<string, string> {
  const loader = LOADERS[architecture];
  const packages = {
    libc6: ['libc.so.6', 'libm.so.6', 'libdl.so.2', 'libpthread.so.0', loader.split('/').at(-1)!],
    'libstdc++6': ['libstdc++.so.6', 'libgcc_s.so.1'],
  };
  mkdirSync(folder, { recursive: true });
  for (const [name, libraries] of Object.entries(packages)) {
    const root = join(folder, `root of ${name}`);
    const write = (path: string, text: string) => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    };
    const place = `/lib/${namesOf(architecture).gnu}-linux-gnu`;
    mkdirSync(join(root, place), { recursive: true });
    for (const each of libraries) {
      copyFileSync(join(crossLibraries(architecture), each), join(root, place, each));
    }
    if (name === 'libc6') {
      mkdirSync(join(root, dirname(loader)), { recursive: true });
      symlinkSync(join('..', place, loader.split('/').at(-1)!), join(root, loader));
    }
    write(`usr/share/doc/${name}/copyright`, `The licence of ${name}.\n`);
    const depends = name === 'libc6' ? '' : 'Depends: libc6\n';
    const control = `Package: ${name}\nVersion: 1.2-3\nArchitecture: ${architecture}\nMulti-Arch: same\nMaintainer: The tests <tests@example.org>\n${depends}Description: libraries\n`;
    write('DEBIAN/control', control);
    const file = join(folder, `${name}.deb`);
    execFileSync('dpkg-deb', ['--build', '--root-owner-group', root, file], { stdio: 'ignore' });
    const content = readFileSync(file);
    const hash = createHash('sha256').update(content).digest('hex');
    const found = `Filename: ./${name}.deb\nSize: ${content.length}\nSHA256: ${hash}\n\n`;
    appendFileSync(join(folder, 'Packages'), control + found);
  }
  const url = pathToFileURL(folder).href.replace('file://', 'copy:');
  writeFileSync(join(folder, 'sources.list'), `deb [trusted=yes] ${url} ./\n`);
  const settings = { sourcelist: join(folder, 'sources.list'), sourceparts: '/dev/null' };
  const lines = Object.entries(settings).map(([name, value]) => `Dir::Etc::${name} "${value}";\n`);
  writeFileSync(join(folder, 'apt.conf'), lines.join(''));
  return { APT_CONFIG: join(folder, 'apt.conf') };
}
