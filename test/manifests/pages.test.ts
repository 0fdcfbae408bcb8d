import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Returns the links, which are relative to the page, and the repository's paths in commands. */
function pathsIn(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)];
  const named = [...text.matchAll(/(?<![\w/.])(?:knative|keda)\/[\w/.-]*\w/g)];
  return [...links.map(([, path]) => join(dirname(page), path!)), ...named.map(([path]) => path)];
}

test('the files that the pages in knative/ refer to exist', () => {
  const pages = readdirSync(join(root, 'knative'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('knative', path));
  const paths = pages.flatMap(pathsIn);
  expect(paths.length).toBeGreaterThan(5);
  expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
