import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { readElf } from './elf.ts';
import { namesOf, type Architecture } from './platform.ts';
import { runTool } from './tool.ts';

/**
 * Finds the libraries that a program links, and its loader, in a sysroot: the root of a system of the program's
 * architecture. Returns the files by the paths at which the loader looks for them.
 */
export function librariesIn(
  sysroot: string,
  program: string,
  architecture: Architecture,
): Map<string, string> {
  const { gnu, elf: machine } = namesOf(architecture);
  const folders = [`${gnu}-linux-gnu`, ''].flatMap((each) =>
    ['lib', 'usr/lib', 'lib64', 'usr/lib64'].map((lib) => join('/', lib, each)),
  );
  const { loader, needed } = readElf(program)!;
  const found = new Map<string, string>();
  const names = new Set(needed);
  for (const name of names) {
    const path = folders
      .map((folder) => join(folder, name))
      .find((each) => isOf(machine, join(sysroot, each)));
    if (path === undefined) {
      throw new Error(`${sysroot} has no ${name} for linux/${architecture}`);
    }
    const file = realpathSync(join(sysroot, path));
    for (const each of readElf(file)!.needed) names.add(each);
    found.set(loader !== null && name === basename(loader) ? loader : path, file);
  }
  return found;
}

function isOf(machine: number, file: string): boolean {
  return existsSync(file) && readElf(file)?.machine === machine;
}

/**
 * Makes a sysroot in a folder, of the packages that this machine's Debian has for another architecture. `apt-get`
 * downloads them as it would for this machine, and checks their signatures, but keeps its records in the folder, so that
 * it needs no right to install and changes nothing on this machine.
 */
export function downloadSysroot(folder: string, architecture: Architecture): string {
  const [records, sysroot] = [join(folder, 'apt'), join(folder, 'root')];
  for (const each of ['lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(records, each), { recursive: true });
  }
  writeFileSync(join(records, 'status'), '');
  const settings = [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `Dir::State=${records}`,
    `Dir::State::status=${join(records, 'status')}`,
    `Dir::Cache=${join(records, 'cache')}`,
    'APT::Sandbox::User=root',
  ].flatMap((each) => ['-o', each]);
  const apt = (...args: string[]) => runTool('apt-get', ['-qq', ...settings, ...args]);
  const download = ['install', '--yes', '--download-only', '--no-install-recommends'];
  try {
    apt('update');
    apt(...download, 'libstdc++6');
  } catch (error) {
    throw new Error(
      `the C libraries for linux/${architecture} can't be had from apt-get (${(error as Error).message}): name a folder with the root of a Debian or another Linux of that platform by --sysroot`,
      { cause: error },
    );
  }
  const archives = join(records, 'cache/archives');
  for (const each of readdirSync(archives)) {
    if (each.endsWith('.deb')) unpackPackage(join(archives, each), sysroot, architecture);
  }
  return sysroot;
}

/** Unpacks a package of Debian, and records it as dpkg does. */
function unpackPackage(file: string, sysroot: string, architecture: Architecture): void {
  const records = join(sysroot, 'var/lib/dpkg');
  mkdirSync(join(records, 'info'), { recursive: true });
  writeFileSync(join(records, 'info/format'), '1\n'); // lists are named with an architecture
  const control = (...fields: string[]) =>
    runTool('dpkg-deb', ['--field', file, ...fields])
      .toString()
      .trim();
  const content = runTool('dpkg-deb', ['--fsys-tarfile', file]);
  const unpacked = runTool('tar', ['-C', sysroot, '--no-same-owner', '-xvf', '-'], {
    input: content,
  });
  // tar's './usr/lib/' is '/usr/lib' to dpkg, and './' is '/.'
  const paths = unpacked
    .toString()
    .replaceAll(/^\.\/$/gm, '/.')
    .replaceAll(/^\.(?=\/)|\/$/gm, '');
  writeFileSync(join(records, `info/${control('Package')}:${architecture}.list`), paths);
  appendFileSync(join(records, 'status'), `${control()}\nStatus: install ok installed\n\n`);
}
