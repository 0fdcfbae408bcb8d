/** The Dockerfile of a new project and that of this repository, built and started without a container engine. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { START } from '../../src/build/image.ts';
import { Readiness } from '../../src/local/readiness.ts';
import { ApiServer, obstacle } from '../manifests/api-server/api-server.ts';
import { blockOf } from '../support/blocks.ts';
import { buildahProblem, buildImage, dockerAndKind } from '../support/buildah.ts';
import { ended, firstOf } from '../support/jail.ts';
import { startContainer, unpackImage, type UnpackedImage } from '../support/unpacked-image.ts';
import { until } from '../support/until.ts';
import { command, emptyFolder, write } from './support/project.ts';
import { startRegistry } from './support/registry.ts';
import { MIGRATED, servingEnvironment, shipOrder } from './support/serve-set.ts';
import { NPM, shell, useProject } from './support/use-project.ts';

const project = useProject();
const problem = buildahProblem();
if (problem !== null) process.stderr.write(`skipping the tests of Dockerfiles: ${problem}\n`);

/** Builds the image of a folder's Dockerfile for one test. */
async function build(context: string, registry: string): Promise<UnpackedImage> {
  const folder = emptyFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return buildImage(context, { registry, folder, tags: tagsOf(context) });
}

/** The tags of the images `node` that a folder's Dockerfile begins with. */
function tagsOf(context: string): string[] {
  const dockerfile = readFileSync(join(context, 'Dockerfile'), 'utf8');
  return [...dockerfile.matchAll(/^FROM node:(\S+)/gm)].map(([, tag]) => tag!);
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

const QUICKSTART = blockOf(
  'README.md: docker build --tag muster:quickstart . && docker build --tag',
);
const SAME = blockOf(
  'knative/README.md: docker build --tag muster:quickstart . && docker build --tag',
);
const quickstartProblem = problem ?? obstacle();
if (quickstartProblem !== null && problem === null) {
  process.stderr.write(`skipping the commands of the quickstart: ${quickstartProblem}\n`);
}

/** Where the image of Kafka Connect finds the connector, which is copied from an image that can't be had here. */
const CONNECTOR = 'debezium-connector-postgres';

/** Folders for the images that the Dockerfile of Kafka Connect begins with. */
function connectImages(folder: string): Record<string, string> {
  const dockerfile = readFileSync('knative/upstream/connect/Dockerfile', 'utf8');
  const [debezium, strimzi] = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image!);
  const folders = { [debezium!]: join(folder, 'debezium'), [strimzi!]: join(folder, 'strimzi') };
  const jar = { [`kafka/connect/${CONNECTOR}/connector.jar`]: '' };
  write(folders[debezium!]!, jar);
  write(folders[strimzi!]!, { 'opt/kafka/bin/connect-distributed.sh': '' });
  return folders;
}

test.skipIf(quickstartProblem !== null)(
  "the three commands of the quickstart build and load the images and apply all objects; the function's image starts as the one that is built without a Dockerfile",
  { timeout: 600_000 },
  async () => {
    expect(SAME).toBe(QUICKSTART);
    await using server = await ApiServer.start();
    const strimzi = ['Kafka', 'KafkaConnect', 'KafkaConnector', 'KafkaNodePool', 'KafkaTopic'];
    server.defineUnchecked('kafka.strimzi.io', 'v1', strimzi);
    expect(server.kubectl(['create', 'namespace', 'kafka'])).toMatchObject({ stderr: '' });
    const folder = emptyFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const registry = await startRegistry(project.packed);
    const surroundings = { registry, folder, tags: tagsOf(process.cwd()) };
    const { programs, archiveOf } = await dockerAndKind(surroundings, connectImages(folder));
    const path = `${programs}${delimiter}${process.env['PATH']}`;
    const done = await command(process.cwd(), shell(QUICKSTART), { ...server.env, PATH: path });
    if (done.code !== 0) throw new Error(done.stdout + done.stderr);
    expect(done.stdout).toContain('deployment.apps/recordings created');

    // every object that names an image of the quickstart finds it in the nodes
    const applied = server.kubectl([
      'get',
      'deployments,statefulsets,jobs,kafkaconnects',
      '--all-namespaces',
      '--output=yaml',
    ]).stdout;
    const named = [...applied.matchAll(/image: (\S+:quickstart)$/gm)].map(([, image]) => image!);
    expect(new Set(named)).toEqual(new Set(['muster:quickstart', 'muster-connect:quickstart']));
    const connect = unpackImage(archiveOf('muster-connect:quickstart'), join(folder, 'connect'));
    expect(readdirSync(join(connect.root, 'opt/kafka/plugins', CONNECTOR))).toEqual([
      'connector.jar',
    ]);

    const image = unpackImage(archiveOf('muster:quickstart'), join(folder, 'muster'));
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
