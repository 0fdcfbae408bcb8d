import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import recordings from '../functions/recordings.ts';
import { SETTINGS } from '../src/config/settings.ts';
import { MAX_PARTS, MAX_RULES } from '../src/definitions/specification.ts';
import { MAX_ELEMENTS } from '../src/intake/cloudevents/batch.ts';
import { MAX_TEXT_BYTES } from '../src/state/ingest/member.ts';
import { blockOf } from './support/blocks.ts';
import { serverOn } from './support/engine.ts';
import { test } from './support/test.ts';

const root = new URL('../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const readme = read('README.md');
const timeless = (text: string) => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+\+00:00/g, 'then');
const guides = readdirSync(new URL('docs/', root)).map((name) => `docs/${name}`);
const pages = ['README.md', 'CONTRIBUTING.md', ...guides];
const folders = (path: string) =>
  readdirSync(new URL(path, root), { withFileTypes: true })
    .filter((each) => each.isDirectory() && !/^(\.|node_modules$|dist$)/.test(each.name))
    .map((each) => each.name);

test('the README is at most 200 lines', () => {
  expect(readme.trimEnd().split('\n').length).toBeLessThanOrEqual(200);
});

test('every promise names existing tests', () => {
  const promises = readme.split('\n').filter((line) => line.startsWith('| **'));
  expect(promises.length).toBeGreaterThanOrEqual(4);
  for (const promise of promises) {
    const tests = [...promise.matchAll(/(test\/\S+\.test\.ts): "([^"]+)"/g)];
    expect(tests.length).toBeGreaterThan(0);
    for (const [, file, title] of tests) expect(read(file!)).toContain(title);
  }
});

test('the function in the README is the one in functions/', () => {
  const shown = /```ts\n([^]*?)```/.exec(readme)![1]!;
  expect(read('functions/recordings.ts')).toContain(shown);
});

test('the event in the README is ingested, and the answer explains its set', async ({ db }) => {
  const server = await serverOn(db, [recordings]);
  const curl = blockOf("README.md: curl http://localhost:8080 -H 'Prefer: return=representation");
  const line = curl.replace('http://localhost:8080', `${server.url} --silent --fail`);
  const { stdout } = await promisify(execFile)('sh', ['-e', '-c', line]);

  const shown = /```\n(\{"outcome"[^]*?)\n```/.exec(readme)![1]!;
  expect(shown).toContain(', …');
  const shortened = JSON.parse(timeless(shown.replaceAll(', …', ''))) as object;
  expect(JSON.parse(timeless(stdout))).toMatchObject(shortened);
  await server.stop();
});

test.each(pages)('the targets of the links in %s exist', (page) => {
  const text = read(page);
  const scripts = new Set(
    // guides are about a project that `muster init` has made, too
    ['package.json', ...(page.startsWith('docs/') ? ['src/local/template/_package.json'] : [])]
      .map((file) => (JSON.parse(read(file)) as { scripts: object }).scripts)
      .flatMap((each) => Object.keys(each)),
  );
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)].map(
    ([, path]) => path!,
  );
  expect(links.filter((path) => !existsSync(new URL(path, new URL(page, root))))).toEqual([]);
  const commands = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name!);
  expect(commands.filter((name) => !scripts.has(name))).toEqual([]);
});

test('the changelog has a section for unreleased changes', () => {
  expect(read('CHANGELOG.md')).toMatch(/^## \[Unreleased\]$/m);
});

test('the limits in the README are those of the code', () => {
  const [, section] = /## What it is not for, and its limits\n([^]*?)\n## /.exec(readme)!;

  for (const limit of [
    `at most ${MAX_PARTS} parts`,
    `${MAX_RULES} rules`,
    `${MAX_TEXT_BYTES.toLocaleString('en')} bytes`,
    `${SETTINGS.BODY_LIMIT_MIB.fallback} MiB (\`BODY_LIMIT_MIB\`)`,
    `${MAX_ELEMENTS.toLocaleString('en')} events`,
    `${SETTINGS.SET_LIMIT_MIB.fallback} MiB of kept columns (\`SET_LIMIT_MIB\`)`,
  ]) {
    expect(section).toContain(limit);
  }
});

test('the layout lists exactly the folders at the root and in src', () => {
  const [, layout] = /## Layout\n\n```\n([^]*?)```/.exec(readme)!;
  const named = new Set([...layout!.matchAll(/\b([a-z]+)\//g)].map(([, name]) => name!));
  const inside = ['intake', 'state'].flatMap((name) => folders(`src/${name}`));
  const known = new Set([...folders('.'), ...folders('src'), ...inside, ...folders('test')]);
  expect([...folders('.'), ...folders('src')].filter((name) => !named.has(name))).toEqual([]);
  expect([...named].filter((name) => !known.has(name) && name !== 'travelers')).toEqual([]);
});

test.each(['README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md', 'SECURITY.md'])(
  'the files named in %s exist',
  (page) => {
    const text = read(page);
    const named = [
      ...text.matchAll(/`((?:src|dev|test|functions|build|knative|keda)\/[\w./-]+\.\w+)`/g),
      ...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g),
    ];
    expect(named.length).toBeGreaterThan(0);
    const missing = named
      .map(([, path]) => path!)
      .filter((path) => !existsSync(new URL(path, root)));
    expect(missing).toEqual([]);
  },
);
