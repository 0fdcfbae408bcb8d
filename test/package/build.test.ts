/** What a user builds and applies: the bundle and the manifests. */
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bundleAll } from '../../build/bundle.ts';
import { warmUp } from '../../src/build/warm-up.ts';
import { cached, median, start, variant } from '../bench/start.ts';
import { ApiServer, obstacle } from '../manifests/api-server/api-server.ts';
import { accepted, dryRun } from '../manifests/api-server/dry-run.ts';
import { problem, render } from '../manifests/render.ts';
import { blockOf } from '../support/blocks.ts';
import { freshDatabase } from '../support/fresh-database.ts';
import { command, emptyFolder } from './support/project.ts';
import { serveSet } from './support/serve-set.ts';
import { shell, useProject } from './support/use-project.ts';

const BUILD = blockOf('docs/your-repository.md: npx muster build');

const project = useProject();

test(
  'build makes a bundle that migrates, serves and runs the handler, and deletes nothing else',
  {
    timeout: 120_000,
  },
  async () => {
    const refused = await command(project.folder, ['npx', 'muster', 'build', 'functions']);
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain('functions has other files than those of a build');
    const traces = join(project.folder, 'a handler has run');
    const noisy = join(project.folder, 'functions/noisy.ts');
    writeFileSync(
      noisy,
      `import { writeFileSync } from 'node:fs';
      import { defineFunction } from 'musterjs';
      setInterval(() => {}, 1_000);
      export default defineFunction({
        name: 'noisy',
        parts: { a: { table: 'shop.payment', key: 'order_id' } },
        handle: () => writeFileSync(${JSON.stringify(traces)}, ''),
      });`,
    );
    expect(await command(project.folder, ['npm', 'run', 'build'])).toMatchObject({
      code: 0,
      stderr: '',
    });
    expect(existsSync(traces)).toBe(false);
    rmSync(noisy);
    const built = await command(project.folder, shell(BUILD));
    expect(built).toMatchObject({ code: 0, stderr: '' });
    const [migrate, serve] = ['migrate', 'serve'].map((name) => `node "$BUNDLE" ${name}`);
    const bundle = { BUNDLE: join(project.folder, 'dist/muster.js') };
    expect(await serveSet('/', `${migrate}\nexec ${serve}`, bundle)).toContain('order.shipped');
  },
);

test.skipIf(problem !== null)(
  'the manifests that the guide applies have all objects of the function',
  () => {
    const objects = render('manifests', project.folder).map(
      ({ kind, metadata }) => `${kind}/${metadata.name}`,
    );
    expect(objects).toEqual(
      expect.arrayContaining(['Deployment/orders', 'KafkaSource/orders', 'Job/migrate']),
    );
  },
);

test('an API server accepts them', { timeout: 120_000 }, async ({ skip }) => {
  const missing = obstacle();
  if (missing !== null) skip(missing);
  await using server = await ApiServer.start();
  const objects = render('manifests', project.folder);
  expect(dryRun(server, objects)).toEqual(accepted(objects));
});

test(
  'a built project starts as fast as the bundle of this repository',
  { timeout: 120_000 },
  async () => {
    // the same function in both
    for (const each of ['recordings.ts', 'recordings']) {
      cpSync(join('functions', each), join(project.folder, 'functions', each), { recursive: true });
    }
    const theirs = join(project.folder, 'cold');
    const built = await command(project.folder, ['npx', 'muster', 'build', 'cold']);
    for (const each of ['recordings.ts', 'recordings']) {
      rmSync(join(project.folder, 'functions', each), { recursive: true });
    }
    expect(built).toMatchObject({ code: 0, stderr: '' });
    const home = emptyFolder();
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    const own = join(home, 'dist');
    await bundleAll(own);
    await warmUp(own, join(own, 'cache'));

    const variants = await Promise.all(
      [theirs, own].map(async (folder) => {
        const { url } = await freshDatabase();
        const env = { DATABASE_URL: url, FUNCTIONS: 'recordings' };
        const bundle = join(folder, 'muster.js');
        expect(await command('/', ['node', bundle, 'migrate'], env)).toMatchObject({ code: 0 });
        const serving = { ...env, HOST: '127.0.0.1', LOG_LEVEL: 'error' };
        const cache = cached(join(folder, 'cache'));
        return variant(folder, [bundle, 'serve'], { ...serving, ...cache });
      }),
    );
    for (let round = 0; round <= 9; round++) {
      for (const each of variants) {
        const ms = await start(each, null, null);
        if (round > 0) each.times.set('ms', [...(each.times.get('ms') ?? []), ms]);
      }
    }
    const [project_, repository] = variants.map((each) => median(each, 'ms')) as [number, number];
    const ratio = project_ / repository;
    process.stderr.write(
      `cold start, medians of 9: built project ${project_.toFixed(0)} ms, this repository's bundle ${repository.toFixed(0)} ms, ${ratio.toFixed(2)} ×\n`,
    );
    expect(ratio).toBeLessThan(1.3);
  },
);
