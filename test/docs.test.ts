import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { SETTINGS } from '../src/config/settings.ts';
import { specify } from '../src/definitions/specification.ts';
import type { FunctionDefinition } from '../src/function.ts';
import { ROLES } from '../src/state/schema/roles.ts';

const guides = readdirSync('docs').map(
  (name) => [name, readFileSync(join('docs', name), 'utf8')] as const,
);

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
    const config = { extends: '../../tsconfig.json', include: ['*.ts'], exclude: [] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const errors = await promisify(execFile)('node_modules/.bin/tsc', ['-p', folder]).then(
      () => '',
      ({ stdout }: { stdout: string }) => stdout,
    );
    expect(errors).toBe('');
    for (const file of files) {
      const { default: definition } = (await import(file)) as { default: FunctionDefinition };
      expect(specify(definition).name).toBe(definition.name);
    }
  },
);

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
