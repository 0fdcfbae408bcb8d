import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { namesOf } from '../../src/build/platform.ts';
import { muster } from '../cli/command.ts';

const [own, other] =
  process.arch === 'x64' ? (['amd64', 'arm64'] as const) : (['arm64', 'amd64'] as const);
const isLinux = process.platform === 'linux';
const qemu = `qemu-${namesOf(other).gnu}`;
const isRegistered = existsSync(`/proc/sys/fs/binfmt_misc/${qemu}`);

test.skipIf(!isLinux || isRegistered)(
  'an image for another platform needs QEMU, and is refused before anything is built',
  async () => {
    const image = ['build', '--image', '/nowhere/image.tar'];
    const platforms = ['--platform', `linux/${own},linux/${other}`];
    expect(await muster({ PATH: '/nowhere' }, [...image, ...platforms])).toEqual({
      code: 1,
      stdout: '',
      stderr: `muster: the compile cache for linux/${other} is made by running the bundle, with QEMU: install qemu-user-static, which brings ${qemu}-static, or build with --no-cache, with which pods take two to three times as long until they answer their first event\n`,
    });
  },
);

test('another platform than those of images is misuse', async () => {
  const platforms = `linux/${own},linux/riscv64`;
  const { code, stderr } = await muster({}, ['build', '--image', 'i.tar', '--platform', platforms]);
  expect(code).toBe(2);
  expect(stderr).toBe(
    `muster: option '--platform <list>' argument '${platforms}' is invalid. Allowed are linux/amd64, linux/arm64. (see muster build --help)\n`,
  );
});

test.each(['platform', 'sysroot'])(
  'a %s without an image is misuse, because a bundle has no native file',
  async (option) => {
    const { code, stderr } = await muster({}, ['build', `--${option}`, `linux/${own}`]);
    expect(code).toBe(2);
    expect(stderr).toBe(
      `muster: --${option} goes with --image: the bundle is the same for every platform\n`,
    );
  },
);

test.skipIf(!isLinux)('the libraries of this machine are not taken from elsewhere', async () => {
  const image = ['build', '--image', 'i.tar', '--sysroot', '/nowhere'];
  const { code, stderr } = await muster({}, image);
  expect(code).toBe(2);
  expect(stderr).toBe(
    `muster: --sysroot goes with a --platform other than linux/${own}, this machine's\n`,
  );
});
