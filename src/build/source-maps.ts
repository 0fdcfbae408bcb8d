import type { Metafile } from 'esbuild';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';

export interface SourceMapOptions {
  /** Folder of the bundle. */
  readonly folder: string;
  readonly project: string;
  /** Folder of Muster's code, which may be a package. */
  readonly muster: string;
}

/**
 * Names the sources in the maps of a bundle by their paths in the project, as if it were the folder of the bundle: equal
 * sources make an equal bundle wherever it is built, and `/app/functions/orders.ts` reads well in a stack trace. Deletes
 * the maps of other packages' code, which are more than half of all.
 */
export function tidySourceMaps(
  { outputs }: Metafile,
  { folder, project, muster }: SourceMapOptions,
): void {
  const isOwn = (source: string) =>
    source.startsWith(muster) || !source.includes(`${sep}node_modules${sep}`);
  for (const output of Object.keys(outputs)) {
    if (!output.endsWith('.map')) continue;
    const file = resolve(project, output);
    const map = JSON.parse(readFileSync(file, 'utf8')) as { sources: string[] };
    const sources = map.sources.map((source) => resolve(dirname(file), source));
    if (sources.some(isOwn)) {
      const inBundle = (source: string) => join(folder, inProject(relative(project, source)));
      map.sources = sources.map((source) => relative(dirname(file), inBundle(source)));
      writeFileSync(file, JSON.stringify(map));
      continue;
    }
    rmSync(file);
    const module = file.replace(/\.map$/, '');
    const text = readFileSync(module, 'utf8');
    writeFileSync(module, text.replace(/\/\/# sourceMappingURL=.*\n$/, ''));
  }
}

/** A source outside of the project, as a linked package, gets the end of its path. */
function inProject(path: string): string {
  return path.replace(/^(?:\.\.[/\\])+/, '');
}
