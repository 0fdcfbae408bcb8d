/** The image that a user builds without a container engine. */
import { closeSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { ended, firstOf, jailProblem } from '../support/jail.ts';
import { startContainer, unpackImage, type UnpackedImage } from '../support/unpacked-image.ts';
import { command } from './support/project.ts';
import { MIGRATED, servingEnvironment, shipOrder } from './support/serve-set.ts';
import { useProject } from './support/use-project.ts';

const project = useProject();
const isLinux = process.platform === 'linux';
const architecture = process.arch === 'x64' ? 'amd64' : process.arch;

let image: UnpackedImage;

beforeAll(async () => {
  if (!isLinux || project.folder === '') return;
  const platform = ['--platform', `linux/${architecture}`];
  const build = ['npx', 'muster', 'build', '--image', 'o.tar', ...platform];
  expect(await command(project.folder, build)).toMatchObject({ code: 0, stderr: '' });
  const archive = join(project.folder, 'o.tar');
  image = unpackImage(archive, join(project.folder, 'unpacked'));
  rmSync(archive);
}, 120_000);

test.skipIf(!isLinux)('it has the native files of its platform only, none in the bundle', () => {
  expect(image.config).toMatchObject({ os: 'linux', architecture });
  const machines: Record<string, number> = {};
  for (const [i, layer] of image.layers.entries()) {
    for (const entry of readdirSync(layer, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const machine = machineOf(join(entry.parentPath, entry.name));
      if (machine !== null) machines[`${i} ${machine}`] = (machines[`${i} ${machine}`] ?? 0) + 1;
    }
  }
  // Node and its libraries in the first layer; the bundle in the second has no native file
  expect(Object.keys(machines)).toEqual([`0 ${architecture}`]);
  expect(machines[`0 ${architecture}`]).toBeGreaterThan(5);
});

/** Returns the machine of a native file; null for another file. */
function machineOf(file: string): string | null {
  const head = Buffer.alloc(20);
  const opened = openSync(file, 'r');
  readSync(opened, head);
  closeSync(opened);
  if (head.subarray(0, 4).toString('latin1') !== '\x7fELF') return null;
  return { 62: 'amd64', 183: 'arm64' }[head.readUInt16LE(18)] ?? 'other';
}

const jail = jailProblem();
if (jail !== null) process.stderr.write(`skipping the tests that start an image: ${jail}\n`);

test.skipIf(jail !== null)(
  'containers of it migrate, serve, run the handler, and stop at SIGTERM',
  { timeout: 60_000 },
  async () => {
    const env = await servingEnvironment();
    expect(await ended(startContainer(image, env, ['migrate']))).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(MIGRATED),
      stderr: '',
    });
    // what it compiles when it builds the image is read, as the user of the image
    const debug = { ...env, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
    const served = startContainer(image, debug);
    onTestFinished(() => void served.kill('SIGKILL'));
    const all = ended(served);
    const said = await shipOrder(served, env);
    expect(said).toMatch(/orders\.js.* was accepted/);
    expect(said).toContain('"order":"7"');
    process.kill(firstOf(served), 'SIGTERM');
    const { code, stderr } = await all;
    expect(code).toBe(0);
    expect(stderr).toContain('"msg":"stopped"');
  },
);
