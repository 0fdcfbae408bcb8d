import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { writeCreator } from '../../build/package.ts';
import { command, emptyFolder, pack, type Packed, write } from './support/project.ts';

let packed: Packed;

beforeAll(async () => {
  packed = await pack();
}, 120_000);

const read = (file: string) => readFileSync(join(packed.content, file), 'utf8');

test('the package has no fault that publint knows', async () => {
  const { messages, pkg } = await publint({ pkgDir: packed.content, strict: true });
  expect(messages.filter(isFault).map((message) => formatMessage(message, pkg))).toEqual([]);
});

/** The test in the template of a project is to be published. */
function isFault({ code, args }: { code: string; args: object }): boolean {
  const { internalFilePaths = [] } = args as { internalFilePaths?: string[] };
  return code !== 'USE_FILES' || internalFilePaths.some((path) => !path.includes('/template/'));
}

/** Node's resolution before it knew `exports`. */
function isOfOldResolution(problem: object): boolean {
  return 'resolutionKind' in problem && problem.resolutionKind === 'node10';
}

test('every entry point resolves with its types, in Node and in bundlers', async () => {
  const result = await checkPackage(createPackageFromTarballData(readFileSync(packed.tarball)));
  if (result.types === false) throw new Error('there are no types');
  // From CommonJS, Node 22 and newer require an ES module.
  const expected = new Set(['CJSResolvesToESM']);
  const problems = result.problems.filter(
    (problem) =>
      !expected.has(problem.kind) &&
      !isOfOldResolution(problem) &&
      !('entrypoint' in problem && problem.entrypoint.endsWith('.css')),
  );
  expect(problems).toEqual([]);
  expect(Object.keys(result.entrypoints)).toEqual(
    expect.arrayContaining(['.', './testing', './console', './page']),
  );
});

/** What a production install gets. A tool of development does not belong here. */
const DEPENDENCIES = [
  '@fastify/accepts',
  '@fastify/compress',
  '@fastify/helmet',
  '@fastify/swagger',
  '@fastify/swagger-ui',
  '@opentelemetry/api',
  '@opentelemetry/exporter-metrics-otlp-grpc',
  '@opentelemetry/exporter-metrics-otlp-http',
  '@opentelemetry/exporter-metrics-otlp-proto',
  '@opentelemetry/sdk-metrics',
  '@opentelemetry/sdk-node',
  'cloudevents',
  'commander',
  'fastify',
  'jose',
  'kafkajs',
  'kafkajs-snappy',
  'leven',
  'lz4js',
  'node-pg-migrate',
  'pg',
  'pino',
  'prom-client',
  'protobufjs',
  'typebox',
];

test('the package contains what it needs, and no tool of development', () => {
  const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
    read('package.json'),
  ) as Record<string, Record<string, unknown>>;
  const names = Object.keys(dependencies!);
  expect(names).toEqual(DEPENDENCIES);
  expect(Object.keys(peerDependencies!)).toEqual(Object.keys(peerDependenciesMeta!));

  const imported = new Set<string>();
  const files = readdirSync(packed.content, { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((each) => each.endsWith('.js'))) {
    for (const [, name] of read(file).matchAll(
      /^\s*(?:import|export) (?:[^'"]* from )?'((?:@[\w.-]+\/)?\w[\w.-]*)(?:\/[^']*)?';/gm,
    )) {
      imported.add(name!);
    }
  }
  const offered = new Set([...names, ...Object.keys(peerDependencies!), 'musterjs']);
  const missing = [...imported].filter((name) => !offered.has(name) && !name.startsWith('node:'));
  expect(missing).toEqual([]);
  expect(files.filter((file) => /\.(?:sql|html|css)$/.test(file)).length).toBeGreaterThan(50);
  expect(files.filter((file) => /(?<!\.d)\.ts$/.test(file) && !file.includes('template'))).toEqual(
    [],
  );
  const templates = [
    ...read('manifests/manifests.js').matchAll(/'((?:knative|keda)\/.*?\.yaml)'/g),
  ];
  expect(templates.length).toBeGreaterThan(10);
  expect(templates.map(([, path]) => path!).filter((path) => !files.includes(path))).toEqual([]);
  expect(statSync(packed.tarball).size).toBeLessThan(2 << 20);
});

test('npm create makes the same project as muster init', async () => {
  const folder = emptyFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  await writeCreator(join(folder, 'create'));
  const { messages } = await publint({ pkgDir: join(folder, 'create'), pack: false });
  expect(messages.filter(isFault)).toEqual([]);
  const creator = ['node', join(folder, 'create/cli/create.js'), 'a'];
  expect((await command(folder, creator)).stdout).toContain('Next: cd a && npm install');
  const init = ['node', join(packed.content, 'cli/init.js')];
  const run = `import(${JSON.stringify(init[1])}).then(({ run }) => run('b'))`;
  await command(folder, ['node', '-e', run]);
  const files = (name: string) =>
    readdirSync(join(folder, name), { recursive: true, encoding: 'utf8' }).toSorted();
  expect(files('a')).toEqual(files('b'));
  expect(files('a')).toContain('.gitignore');
});

/** Types that a user can import, without their comments. */
function publicTypes(): string {
  const seen = new Set<string>();
  const queue = [
    'function.d.ts',
    'testing.d.ts',
    'console/plugin.d.ts',
    'console/browser/index.d.ts',
  ];
  const texts: string[] = [];
  for (let file; (file = queue.shift()) !== undefined;) {
    if (seen.has(file)) continue;
    seen.add(file);
    const text = read(file);
    for (const [, path] of text.matchAll(/from '(\.[^']+)\.js'/g)) {
      queue.push(`${join(dirname(file), path!)}.d.ts`);
    }
    const bare = text.replaceAll(/[ \t]*\/\*\*[^]*?\*\/\n?/g, '').replaceAll(/^\s*\n/gm, '');
    texts.push(`// ${file}\n${bare.replace(/\/\/# sourceMappingURL.*\n?/, '')}`);
  }
  return texts.join('\n');
}

test('the public types change only together with the changelog', async () => {
  const types = publicTypes();
  await expect(types).toMatchFileSnapshot('public-types.txt');
  const hash = createHash('sha256').update(types).digest('hex').slice(0, 8);
  const [, documented] = /<!-- public types: (\w+) -->/.exec(readFileSync('CHANGELOG.md', 'utf8'))!;
  expect(documented, 'describe the change in CHANGELOG.md, and put the new hash there').toBe(hash);
});

const USE = `
import { all, defineFunction, defineProjection, TerminalError, type Tx } from 'musterjs';
import { createTestDatabase, runFunction } from 'musterjs/testing';
import { BadField, defineConsole, Failure, json, type Reader } from 'musterjs/console';

const pair = defineFunction({
  name: 'pair',
  parts: { a: { table: 'public.item', key: 'k' }, b: { table: 'public.thing', key: 'k' } },
  complete: all('a', 'b'),
  handle: (set) => [{ type: 'pair.done', data: set.parts.a[0]!.row }],
});
const { sets } = await runFunction(pair, [{ table: 'public.item', row: { id: 1, k: 2 } }]);
sets[0]!.missing satisfies readonly ('a' | 'b')[];
// @ts-expect-error no such part
all<'a' | 'b'>('c') satisfies unknown;
defineConsole({ title: '', description: '', routes: (app, { db }) => void [app.get, db satisfies Reader] });
export type Used = [typeof defineProjection, TerminalError, Tx, typeof createTestDatabase, BadField, typeof Failure, typeof json];
`;

test(
  'a strict project that checks the types of its libraries compiles',
  { timeout: 120_000 },
  async () => {
    const folder = emptyFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    write(folder, {
      'package.json': JSON.stringify({ name: 'user', type: 'module', private: true }),
      'use.ts': USE,
      'tsconfig.json': JSON.stringify({
        compilerOptions: {
          module: 'nodenext',
          target: 'es2024',
          strict: true,
          noEmit: true,
          types: ['node'],
        },
        files: ['use.ts'],
      }),
    });
    const install = [
      'npm',
      'install',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      packed.tarball,
    ];
    expect(await command(folder, [...install, '@types/node@22'])).toMatchObject({ code: 0 });
    const tsc = join(process.cwd(), 'node_modules/.bin/tsc');
    expect(await command(folder, [tsc, '-p', '.'])).toEqual({ code: 0, stdout: '', stderr: '' });
  },
);
