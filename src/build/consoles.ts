import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { buildPage } from './page.ts';

/** The functions' console plugins as entry points of the bundle: `consoles/<name>.js`. */
export function consoleEntries(functions: string): { in: string; out: string }[] {
  return readdirSync(functions).flatMap((name) =>
    ['plugin.ts', 'plugin.js']
      .map((file) => join(functions, name, 'console', file))
      .filter((file) => existsSync(file))
      .slice(0, 1)
      .map((file) => ({ in: file, out: `consoles/${name}` })),
  );
}

/** Where the pages are, and the bundle that they are written to. */
interface Places {
  /** The folder with the functions. */
  readonly functions: string;
  /** Muster's code. */
  readonly muster: string;
  readonly project: string;
  readonly folder: string;
}

/** Writes the pages of the console and of its documentation; returns their sources, relative to the project. */
export async function writePages({
  functions,
  muster,
  project,
  folder,
}: Places): Promise<string[]> {
  const inputs: string[] = [];
  const pages = [
    [join(muster, 'console/page'), 'src/console/page'],
    ...readdirSync(functions).map((name) => [
      join(functions, name, 'console/page'),
      `functions/${name}/console/page`,
    ]),
  ] as [from: string, to: string][];
  for (const [from, to] of pages) {
    if (!existsSync(join(from, 'index.html'))) continue;
    mkdirSync(join(folder, to), { recursive: true });
    if (!existsSync(join(from, 'page.ts'))) {
      cpSync(from, join(folder, to), { recursive: true });
      continue;
    }
    const built = await buildPage(from);
    for (const [file, body] of built.files) writeFileSync(join(folder, to, file), body);
    inputs.push(...built.inputs.map((input) => relative(project, join(from, input))));
  }
  const swagger = createRequire(import.meta.url).resolve('@fastify/swagger-ui');
  cpSync(join(dirname(swagger), 'static'), join(folder, 'src/console/swagger-ui'), {
    recursive: true,
    // swagger-ui.js is a second copy of the library, for applications that bundle it themselves.
    filter: (from) => basename(from) !== 'swagger-ui.js',
  });
  return inputs;
}
