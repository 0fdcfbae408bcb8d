/** The image that a user builds without a container engine, for this machine's platform and one that QEMU emulates. */
import {
  closeSync,
  copyFileSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { emulatorOf, ownArchitecture } from '../../src/build/platform.ts';
import { jailProblem } from '../support/jail.ts';
import { unpackImage, type UnpackedImage } from '../support/unpacked-image.ts';
import { crossProblem, makeRepository } from './support/other-debian.ts';
import { command } from './support/project.ts';
import { IS_WARM, serveImage } from './support/serve-image.ts';
import { NPM, useProject } from './support/use-project.ts';

const project = useProject();
const isLinux = process.platform === 'linux';
const own = ownArchitecture();
const other = own === 'arm64' ? 'amd64' : 'arm64';

const jail = jailProblem();
if (jail !== null) process.stderr.write(`skipping the tests that start an image: ${jail}\n`);
const emulator = emulatorOf(other);
const problem =
  jail ??
  (emulator === null ? 'QEMU is not installed (qemu-user-static)' : null) ??
  crossProblem(other);
if (problem !== null) process.stderr.write(`skipping the image for linux/${other}: ${problem}\n`);

let image: UnpackedImage;
let otherImage: UnpackedImage;

beforeAll(async () => {
  if (!isLinux || project.folder === '') return;
  const platforms = problem === null ? `linux/${own},linux/${other}` : `linux/${own}`;
  const build = ['npx', 'muster', 'build', '--image', 'o.tar', '--platform', platforms];
  const repository =
    problem === null ? makeRepository(join(project.folder, '../debian'), other) : {};
  const built = await command(project.folder, build, { ...NPM, ...repository });
  expect(built).toMatchObject({ code: 0, stderr: '' });
  const archive = join(project.folder, 'o.tar');
  image = unpackImage(archive, join(project.folder, 'unpacked'));
  if (problem === null) otherImage = unpackImage(archive, join(project.folder, 'other'), other);
  rmSync(archive);
}, 240_000);

test.skipIf(!isLinux)('it has the native files of its platform only, none in the bundle', () => {
  expect(image.config).toMatchObject({ os: 'linux', architecture: own });
  const machines = machinesOf(image);
  // Node and its libraries in the first layer; the bundle in the second has no native file
  expect(Object.keys(machines)).toEqual([`0 ${own}`]);
  expect(machines[`0 ${own}`]).toBeGreaterThan(5);
});

test.skipIf(problem !== null)('the image for the other platform has those of the other', () => {
  expect(otherImage.config).toMatchObject({ os: 'linux', architecture: other });
  expect(machinesOf(otherImage)).toEqual({ [`0 ${other}`]: machinesOf(image)[`0 ${own}`] });
  for (const name of ['libc6', 'libstdc++6']) {
    const status = readFileSync(join(otherImage.root, 'var/lib/dpkg/status.d', name), 'utf8');
    expect(status).toMatch(`Package: ${name}\nStatus: install ok installed\n`);
    expect(status).toContain('Version: 1.2-3\n');
    const licence = join(otherImage.root, 'usr/share/doc', name, 'copyright');
    expect(readFileSync(licence, 'utf8')).toBe(`The licence of ${name}.\n`);
  }
});

/** Returns how many native files each layer has, by the machine that they are for. */
function machinesOf({ layers }: UnpackedImage): Record<string, number> {
  const machines: Record<string, number> = {};
  for (const [i, layer] of layers.entries()) {
    for (const entry of readdirSync(layer, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const machine = machineOf(join(entry.parentPath, entry.name));
      if (machine !== null) machines[`${i} ${machine}`] = (machines[`${i} ${machine}`] ?? 0) + 1;
    }
  }
  return machines;
}

/** Returns the machine of a native file; null for another file. */
function machineOf(file: string): string | null {
  const head = Buffer.alloc(20);
  const opened = openSync(file, 'r');
  readSync(opened, head);
  closeSync(opened);
  if (head.subarray(0, 4).toString('latin1') !== '\x7fELF') return null;
  return { 62: 'amd64', 183: 'arm64' }[head.readUInt16LE(18)] ?? 'other';
}

test.skipIf(jail !== null)(
  'containers of it migrate, serve, run the handler, and stop at SIGTERM',
  { timeout: 60_000 },
  // what it compiles when it builds the image is read, as the user of the image
  async () => expect(await serveImage(image)).toMatch(IS_WARM),
);

test.skipIf(problem !== null)(
  'so do containers of the image for the other platform, with the cache that QEMU made',
  { timeout: 120_000 },
  async () => expect(await serveImage(emulated(otherImage))).toMatch(IS_WARM),
);

/** Puts the emulator into an image, where containers of it start with it. */
function emulated(each: UnpackedImage): UnpackedImage {
  const [qemu] = emulator!;
  if (qemu === undefined) return each; // the kernel starts it
  copyFileSync(qemu, join(each.root, 'qemu'));
  const { config } = each.config;
  const [, ...args] = config.Entrypoint;
  const Entrypoint = ['/qemu', '/usr/local/bin/node', ...args];
  return { ...each, config: { ...each.config, config: { ...config, Entrypoint } } };
}
