/** The code blocks of the pages, which tests run or check. */
import { readdirSync, readFileSync } from 'node:fs';

/** A fenced block of a page. */
export interface Block {
  readonly page: string;
  /** What follows the fence: `sh`, `sql`, `ts`, or nothing. */
  readonly language: string;
  readonly text: string;
  /** Its page and the beginning of its first line, by which tests refer to it. */
  readonly name: string;
}

/** The pages that users read. */
export const PAGES: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync('docs').map((name) => `docs/${name}`),
  'knative/README.md',
  'knative/kn/README.md',
  'knative/overlays/production/README.md',
];

/** Returns the blocks of a page, without the indentation of the list that they are in. */
export function blocksOf(page: string): Block[] {
  const found = readFileSync(page, 'utf8').matchAll(/^( *)```(\w*)\n([^]*?)^\1```$/gm);
  return [...found].map(([, indent, language, content]) => {
    const text = content!.replaceAll(new RegExp(`^${indent}`, 'gm'), '');
    const first = text.split('\n')[0]!.replace(/\s+#.*$/, '');
    return { page, language: language!, text, name: `${page}: ${first.slice(0, 60).trimEnd()}` };
  });
}

/** Returns the text of the block of this name. */
export function blockOf(name: string): string {
  const [page] = name.split(': ') as [string];
  const found = blocksOf(page).filter((each) => each.name === name);
  if (found.length === 1) return found[0]!.text;
  const names = blocksOf(page).map((each) => each.name);
  throw new Error(`${page} has ${found.length} blocks ${name}; there are:\n${names.join('\n')}`);
}
