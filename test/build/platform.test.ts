import { expect, test } from 'vitest';
import { muster } from '../cli/command.ts';

const [own, other] =
  process.arch === 'x64' ? ['linux/amd64', 'linux/arm64'] : ['linux/arm64', 'linux/amd64'];

test.skipIf(process.platform !== 'linux')(
  'an image for another platform is refused before anything is built, with what to do',
  async () => {
    const image = ['build', '--image', '/nowhere/image.tar', '--platform', other];
    expect(await muster({}, image)).toEqual({
      code: 1,
      stdout: '',
      stderr: `muster: an image contains the Node and the C libraries of the machine that writes it, which is ${own}: to get one for ${other}, run this command on such a machine, or use the Dockerfile: docker buildx build --platform ${other} .\n`,
    });
  },
);

test('a platform without an image is misuse, because a bundle has no native file', async () => {
  const { code, stderr } = await muster({}, ['build', '--platform', own]);
  expect(code).toBe(2);
  expect(stderr).toBe(
    'muster: --platform goes with --image: the bundle is the same for every platform\n',
  );
});
