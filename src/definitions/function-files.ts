import { existsSync, readdirSync } from 'node:fs';

/** Names of all functions, sorted. */
export function knownFunctions(): string[] {
  return [...functionFiles().keys()].toSorted();
}

/**
 * Files of the functions, relative to `functions/`, by function name: `<name>.ts` or `<name>/index.ts`. In a
 * bundle they end with `.js`.
 */
export function functionFiles(): Map<string, string> {
  const folder = new URL('../../functions/', import.meta.url);
  const files = new Map<string, string>();
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const [, name] = /^(.+)\.[jt]s$/.exec(entry.name) ?? [];
    if (entry.isFile() && name !== undefined) files.set(name, entry.name);
    const index = `${entry.name}/index.ts`;
    if (entry.isDirectory() && existsSync(new URL(index, folder))) files.set(entry.name, index);
  }
  return files;
}
