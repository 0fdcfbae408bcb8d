import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { SETTINGS } from '../src/config/settings.ts';
import { specify } from '../src/definitions/specification.ts';
import type { FunctionDefinition } from '../src/function.ts';
import { ROLES } from '../src/state/schema/roles.ts';

const read = (file: string) => readFileSync(file, 'utf8');
const guides = readdirSync('docs').map((name) => [name, read(join('docs', name))] as const);

test(
  'the functions in the guides compile, and their definitions are valid',
  { timeout: 60_000 },
  async () => {
    const folder = join('.muster', `docs-${process.pid}`);
    mkdirSync(folder, { recursive: true });
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const files = guides.flatMap(([name, text]) =>
      [...text.matchAll(/```ts\n([^]*?)```/g)].map(([, code], i) => {
        const file = join(process.cwd(), folder, `${name.replace('.md', '')}-${i}.ts`);
        writeFileSync(file, code!);
        return file;
      }),
    );
    expect(files.length).toBeGreaterThanOrEqual(2);
    expect(await compile(folder)).toBe('');
    for (const file of files) {
      const { default: definition } = (await import(file)) as { default: FunctionDefinition };
      expect(specify(definition).name).toBe(definition.name);
    }
  },
);

const ORDERS = `import { defineFunction } from '../../../src/function.ts';
export default defineFunction({
  name: 'orders',
  parts: {
    placed: { table: 'shop.order', key: 'order', id: 'id' },
    paid: { table: 'shop.payment', key: 'order', id: 'id' },
  },
  handle: ({ key }) => [{ type: 'order.shipped', subject: key.order, data: { order: key.order } }],
});`;

test('the test that CONTRIBUTING.md shows compiles', { timeout: 60_000 }, async () => {
  const folder = join('.muster', `contributing-${process.pid}`);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [, block] = /```ts\n([^]*?)```/.exec(read('CONTRIBUTING.md'))!;
  mkdirSync(join(folder, 'functions'), { recursive: true });
  mkdirSync(join(folder, 'test/functions'), { recursive: true });
  writeFileSync(join(folder, 'functions/orders.ts'), ORDERS);
  writeFileSync(join(folder, 'test/functions/orders.test.ts'), block!);
  symlinkSync(join(process.cwd(), 'src'), join(folder, 'src'));
  symlinkSync(join(process.cwd(), 'test/support'), join(folder, 'test/support'));
  expect(
    await compile(folder, [
      'test/functions/*.ts',
      '../../src/**/*.d.ts',
      '../../test/support/server.ts',
    ]),
  ).toBe('');
});

/** Compiles the files of a folder below `.muster`; returns the errors. */
async function compile(folder: string, include = ['*.ts']): Promise<string> {
  const config = { extends: '../../tsconfig.json', include, exclude: [] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  return promisify(execFile)('node_modules/.bin/tsc', ['-p', folder]).then(
    () => '',
    ({ stdout }: { stdout: string }) => stdout,
  );
}

test('the guides name variables and metrics that exist', () => {
  const metrics = readFileSync('src/process/metrics.ts', 'utf8');
  for (const [name, text] of guides) {
    for (const [, used] of text.matchAll(/`(muster_[a-z_]+)`/g)) {
      const isRole = (ROLES as readonly string[]).includes(used!);
      const isKnown = metrics.includes(used!) || isRole || used === 'muster_dev'; // a replication slot
      expect([name, used, isKnown]).toEqual([name, used, true]);
    }
    for (const [, used] of text.matchAll(/`([A-Z]+_[A-Z_]+)`/g)) {
      const others = ['TEST_DATABASE_URL', 'NODE_EXTRA_CA_CERTS'];
      const isKnown = Object.hasOwn(SETTINGS, used!) || others.includes(used!);
      expect([name, used, isKnown]).toEqual([name, used, true]);
    }
  }
});

test('the figures of the ways in are those of the README', () => {
  const table = read('docs/ways-in.md').split('\n## ')[0]!.split('The figures are those')[0]!;
  const figures = [...table.matchAll(/[\d.]+ (?:µs|ms|×)/g)].map(([figure]) => figure);
  const [, measured] = read('README.md').split('## Measured');
  expect(figures.length).toBeGreaterThan(4);
  expect(figures.filter((figure) => !measured!.split('\n## ')[0]!.includes(figure))).toEqual([]);
});

test.for([
  ['What each way survives', 6],
  ['The rules of Knative', 8],
] as const)('every row of "%s" names existing tests', ([heading, least]) => {
  const [, section] = readFileSync('docs/ways-in.md', 'utf8').split(`## ${heading}\n`);
  const [rules] = section!.split('\n## ');
  const rows = rules!.split('\n').filter((line) => /^\| [^-]/.test(line));
  expect(rows.length).toBeGreaterThan(least);
  for (const row of rows.slice(1)) {
    const tests = [...row.matchAll(/(test\/\S+\.test\.ts): "([^"]+)"/g)];
    expect([row, tests.length > 0]).toEqual([row, true]);
    for (const [, file, title] of tests) {
      expect([title, readFileSync(file!, 'utf8').includes(title!)]).toEqual([title, true]);
    }
  }
});
