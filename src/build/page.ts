import { build } from 'esbuild';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface Page {
  /** The served files, by name. */
  readonly files: Map<string, Buffer>;
  /** The sources, as paths relative to the folder. */
  readonly inputs: readonly string[];
}

/**
 * Builds the files of a page from its folder: `index.html`, and one script and one style sheet with a
 * hash in their names, so that browsers can cache them indefinitely. `index.html` refers to `page.ts` and
 * `page.css` in the sources, and to the hashed names in the result.
 */
export async function buildPage(folder: string): Promise<Page> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: folder,
    entryPoints: ['page.ts', 'page.css'],
    entryNames: '[name]-[hash]',
    outdir: folder,
    write: false,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    // The browsers that support AbortSignal.any.
    target: ['chrome116', 'firefox124', 'safari17.4'],
    legalComments: 'none',
    // The page's tsconfig extends the one at the top, which the image's build does not have.
    tsconfigRaw: {},
    metafile: true,
  });
  const files = new Map<string, Buffer>();
  let html = readFileSync(join(folder, 'index.html'), 'utf8');
  for (const { path, contents } of outputFiles) {
    const name = basename(path);
    files.set(name, Buffer.from(contents));
    html = html.replace(name.endsWith('.js') ? '"page.ts"' : '"page.css"', `"${name}"`);
  }
  files.set('index.html', Buffer.from(html));
  return { files, inputs: Object.keys(metafile.inputs) };
}
