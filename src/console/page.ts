import type { FastifyInstance } from 'fastify';
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};
/** A name with a hash of the content never means anything else. */
const FOR_EVER = 'public, max-age=31536000, immutable';

/** Serves the files of a page below `prefix`, which begins and ends with a slash. */
export async function servePage(app: FastifyInstance, prefix: string, folder: URL): Promise<void> {
  if (prefix !== '/') {
    const end = prefix.slice(prefix.lastIndexOf('/', prefix.length - 2) + 1);
    app.get(prefix.slice(0, -1), { schema: { hide: true } }, (request, reply) => {
      const [, query] = /(\?.*)$/.exec(request.url) ?? [];
      // Relative, so that it holds behind a proxy that serves us below a path.
      return reply.redirect(end + (query ?? ''), 308);
    });
  }
  for (const [name, body] of await filesOf(folder)) {
    const path = name === 'index.html' ? prefix : prefix + name;
    app.get(path, { schema: { hide: true } }, (_request, reply) =>
      reply
        .type(TYPES[extname(name)] ?? 'application/octet-stream')
        .header('cache-control', name === 'index.html' ? 'no-cache' : FOR_EVER)
        .send(body),
    );
  }
}

/** The bundle holds them as they are sent; from the sources they are made at start. */
async function filesOf(folder: URL): Promise<Map<string, Buffer>> {
  const path = fileURLToPath(folder);
  if (import.meta.url.endsWith('.ts')) {
    // By address, so that the bundle does not take the builder along.
    const builder = new URL('../../build/page.ts', import.meta.url).href;
    const { buildPage } = (await import(builder)) as {
      buildPage: (folder: string) => Promise<{ files: Map<string, Buffer> }>;
    };
    return (await buildPage(path)).files;
  }
  return new Map(readdirSync(path).map((name) => [name, readFileSync(new URL(name, folder))]));
}
