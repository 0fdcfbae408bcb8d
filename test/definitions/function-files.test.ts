import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { readConfig, requireFunctions } from '../../src/config/config.ts';
import { functionFiles, knownFunctions } from '../../src/definitions/function-files.ts';
import { loadFunctions } from '../../src/definitions/load-functions.ts';

/** Makes a folder with these files the folder of the functions, for the rest of the test. */
function functionsIn(files: Readonly<Record<string, string>>): string {
  const folder = join(mkdtempSync(join(tmpdir(), 'muster functions-')), 'handlers');
  for (const [name, text] of Object.entries({ ...files, '.keep': '' })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  vi.stubEnv('FUNCTIONS_FOLDER', folder);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(dirname(folder), { recursive: true, force: true });
  });
  return folder;
}

test('a function is a file, or an index in a folder, in TypeScript or JavaScript', () => {
  const folder = functionsIn({
    'a.ts': '',
    'b.js': '',
    'c/index.ts': '',
    'd/index.js': '',
    'a/migrations/001_tables.sql': '',
    'a.test.ts': '',
    'a.d.ts': '',
    'notes.md': '',
    'shared/index.md': '',
    '..data/e.js': '',
  });
  symlinkSync('..data/e.js', join(folder, 'e.js')); // as Kubernetes mounts a ConfigMap
  expect(Object.fromEntries(functionFiles())).toEqual({
    a: 'a.ts',
    b: 'b.js',
    c: 'c/index.ts',
    d: 'd/index.js',
    e: 'e.js',
  });
  expect(knownFunctions()).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('two files that define the same function are refused', () => {
  functionsIn({ 'a.ts': '', 'a/index.js': '' });
  expect(() => knownFunctions()).toThrow(
    'handlers/a:\n  both a.ts and a/index.js define it: keep one',
  );
});

test('a folder without functions, or none, is refused with what to do', () => {
  const folder = functionsIn({});
  for (const each of [folder, join(folder, 'missing')]) {
    vi.stubEnv('FUNCTIONS_FOLDER', each);
    const env = { DATABASE_URL: 'postgres://localhost/state' };
    expect(() => requireFunctions(readConfig(env))).toThrow(
      `there is no function in ${each}/: start in the folder above your functions, or name theirs with --functions`,
    );
    expect(() => readConfig({ ...env, FUNCTIONS: 'a' })).toThrow('(there is no function)');
  }
});

test('a problem is reported with the file in its folder', async () => {
  functionsIn({ 'a.js': 'export default 1' });
  await expect(loadFunctions(['a'])).rejects.toThrow(
    'handlers/a.js:\n  there is no default export made by defineFunction',
  );
});
