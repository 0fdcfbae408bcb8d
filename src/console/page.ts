import type { FastifyInstance } from 'fastify';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};
/** Applies to files whose names contain a hash of their content. */
const HASHED = /-[A-Z0-9]{8}\.(?:js|css)$/;
const IMMUTABLE = 'public, max-age=31536000, immutable';

/**
 * Serves the files of a page below `prefix`, which begins and ends with a slash.
 *
 * @fastify/static is not used: the files are known at start and, when run from the sources, exist in memory only;
 * and its redirect to the slash is absolute, which breaks behind a proxy that serves the console below a path.
 */
export async function servePage(app: FastifyInstance, prefix: string, folder: URL): Promise<void> {
  if (prefix !== '/') {
    const end = prefix.slice(prefix.lastIndexOf('/', prefix.length - 2) + 1);
    app.get(prefix.slice(0, -1), { schema: { hide: true } }, (request, reply) => {
      const [, query] = /(\?.*)$/.exec(request.url) ?? [];
      // The location is relative, so that it is right behind a proxy that serves the console below a path.
      return reply.redirect(end + (query ?? ''), 308);
    });
  }
  for (const [name, body] of await filesOf(folder)) {
    const path = name === 'index.html' ? prefix : prefix + name;
    app.get(path, { schema: { hide: true } }, (_request, reply) =>
      reply
        .type(TYPES[extname(name)] ?? 'application/octet-stream')
        .header('cache-control', HASHED.test(name) ? IMMUTABLE : 'no-cache')
        .send(body),
    );
  }
}

/** Reads the files of a page that is built, as in a package or a bundle; builds one from its sources. */
async function filesOf(folder: URL): Promise<Map<string, Buffer>> {
  const path = fileURLToPath(folder);
  if (!existsSync(new URL('page.ts', folder))) {
    return new Map(readdirSync(path).map((name) => [name, readFileSync(new URL(name, folder))]));
  }
  // The specifier is computed, so that a bundle does not include the builder.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const builder = new URL(`../build/page.${extension}`, import.meta.url).href;
  const { buildPage } = (await import(builder).catch((error: Error) => {
    if (!error.message.includes("'esbuild'")) throw error;
    throw new Error(`${path} is built with esbuild: npm install --save-dev esbuild`, {
      cause: error,
    });
  })) as { buildPage: (folder: string) => Promise<{ files: Map<string, Buffer> }> };
  return (await buildPage(path)).files;
}
