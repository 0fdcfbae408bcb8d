/** Containers of an image with the functions of a user's project. */
import { expect, onTestFinished } from 'vitest';
import { ended, firstOf } from '../../support/jail.ts';
import { startContainer, type UnpackedImage } from '../../support/unpacked-image.ts';
import { MIGRATED, servingEnvironment, shipOrder } from './serve-set.ts';

/** Migrates, serves, runs the handler, and stops at SIGTERM; returns what was printed up to the handler's event. */
export async function serveImage(image: UnpackedImage): Promise<string> {
  const env = await servingEnvironment();
  expect(await ended(startContainer(image, env, ['migrate']))).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(MIGRATED),
    stderr: '',
  });
  const served = startContainer(image, { ...env, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' });
  onTestFinished(() => void served.kill('SIGKILL'));
  const all = ended(served);
  const said = await shipOrder(served, env);
  expect(said).toContain('"order":"7"');
  process.kill(firstOf(served), 'SIGTERM');
  const { code, stderr } = await all;
  expect(code).toBe(0);
  expect(stderr).toContain('"msg":"stopped"');
  return said;
}

/** What Node prints, by NODE_DEBUG_NATIVE, when it reads the compiled function from the cache, as the image's user. */
export const IS_WARM = /orders\.js.* was accepted/;
