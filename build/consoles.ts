import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { buildPage } from './page.ts';

/** The functions' console plugins as entry points of the bundle: `consoles/<name>.js`. */
export function consoleEntries(root: string): { in: string; out: string }[] {
  return withConsole(root).map((name) => ({
    in: `functions/${name}/console/plugin.ts`,
    out: `consoles/${name}`,
  }));
}

/** Writes the pages of the console and of its documentation; returns their sources. */
export async function writePages(root: string, folder: string): Promise<string[]> {
  const inputs: string[] = [];
  const pages = withConsole(root).map((name) => join('functions', name, 'console/page'));
  for (const page of ['src/console/page', ...pages]) {
    if (!existsSync(join(root, page, 'index.html'))) continue;
    const built = await buildPage(join(root, page));
    mkdirSync(join(folder, page), { recursive: true });
    for (const [file, body] of built.files) writeFileSync(join(folder, page, file), body);
    inputs.push(...built.inputs.map((input) => join(page, input)));
  }
  const swagger = join(
    dirname(createRequire(import.meta.url).resolve('@fastify/swagger-ui')),
    'static',
  );
  cpSync(swagger, join(folder, 'src/console/swagger-ui'), {
    recursive: true,
    // swagger-ui.js is a second copy of the library, for applications that bundle it themselves.
    filter: (from) => basename(from) !== 'swagger-ui.js',
  });
  return inputs;
}

function withConsole(root: string): string[] {
  return readdirSync(join(root, 'functions')).filter((name) =>
    existsSync(join(root, 'functions', name, 'console/plugin.ts')),
  );
}
