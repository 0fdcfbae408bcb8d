/** The Dockerfile of a new project and that of this repository, built and started without a container engine. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { START } from '../../src/build/image.ts';
import { Readiness } from '../../src/local/readiness.ts';
import { buildahProblem, buildImage } from '../support/buildah.ts';
import { ended, firstOf } from '../support/jail.ts';
import { startContainer, type UnpackedImage } from '../support/unpacked-image.ts';
import { until } from '../support/until.ts';
import { command, emptyFolder } from './support/project.ts';
import { startRegistry } from './support/registry.ts';
import { MIGRATED, servingEnvironment, shipOrder } from './support/serve-set.ts';
import { NPM, useProject } from './support/use-project.ts';

const project = useProject();
const problem = buildahProblem();
if (problem !== null) process.stderr.write(`skipping the tests of Dockerfiles: ${problem}\n`);

/** Builds the image of a folder's Dockerfile for one test. */
async function build(context: string, registry: string): Promise<UnpackedImage> {
  const folder = emptyFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const dockerfile = readFileSync(join(context, 'Dockerfile'), 'utf8');
  const tags = [...dockerfile.matchAll(/^FROM node:(\S+)/gm)].map(([, tag]) => tag!);
  return buildImage(context, { registry, folder, tags });
}

/** Migrates a new database with an image, starts to serve, and returns the container with its variables. */
async function serve(image: UnpackedImage, migrated: string) {
  const env = await servingEnvironment();
  expect(await ended(startContainer(image, env, ['migrate']))).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(migrated),
  });
  const readiness = new Readiness();
  const more = { ...readiness.env, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
  const served = startContainer(image, { ...env, ...more });
  onTestFinished(() => void served.kill('SIGKILL'));
  const stopped = ended(served);
  await until(async () => {
    if (served.exitCode !== null) throw new Error((await stopped).stderr);
    return readiness.at(`http://127.0.0.1:${env['PORT']}`);
  });
  return { served, stopped, env };
}

test.skipIf(problem !== null)(
  "a new project's image migrates, serves and runs the handler, with the code that was compiled when it was built",
  { timeout: 600_000 },
  async () => {
    const registry = await startRegistry(project.packed);
    const context = join(project.folder, 'published');
    const created = await command(project.folder, ['npx', 'muster', 'init', 'published']);
    expect(created).toMatchObject({ code: 0 });
    const lock = ['npm', 'install', '--package-lock-only'];
    const locked = await command(context, lock, { ...NPM, npm_config_registry: registry });
    expect(locked).toMatchObject({ code: 0 });
    const image = await build(context, registry);
    const { served, stopped, env } = await serve(image, MIGRATED);
    expect(await shipOrder(served, env)).toContain('"order":"7"');
    process.kill(firstOf(served), 'SIGTERM');
    const { code, stderr } = await stopped;
    expect(stderr).toContain('"msg":"stopped"');
    expect(stderr).toMatch(/orders\.js.* was accepted/);
    expect(code).toBe(0);
  },
);

test.skipIf(problem !== null)(
  "this repository's image starts as the one that is built without a Dockerfile",
  { timeout: 600_000 },
  async () => {
    const image = await build(process.cwd(), await startRegistry(project.packed));
    const { Env, Labels, ...start } = START;
    const { config } = image.config;
    expect(config).toMatchObject({ ...start, Labels });
    expect(config.Env).toEqual(expect.arrayContaining([...Env]));
    const { served, stopped } = await serve(image, 'registered: recordings, generation 1\n');
    process.kill(firstOf(served), 'SIGTERM');
    const { code, stderr } = await stopped;
    expect(stderr).toMatch(/recordings\.js.* was accepted/);
    expect(code).toBe(0);
  },
);
