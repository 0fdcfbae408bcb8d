import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Links, relative to the page; and paths of the repository in what is to be typed. */
function pathsIn(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)];
  const named = [...text.matchAll(/(?<![\w/.])(?:knative|keda)\/[\w/.-]*\w/g)];
  return [...links.map(([, path]) => join(dirname(page), path!)), ...named.map(([path]) => path)];
}

test('what the pages beside the manifests point to is there', () => {
  const pages = readdirSync(join(root, 'knative'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('knative', path));
  const paths = pages.flatMap(pathsIn);
  expect(paths.length).toBeGreaterThan(5);
  expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
