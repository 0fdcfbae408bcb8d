import type { FastifyInstance } from 'fastify';

/**
 * Records the routes that are added to an app from now on. Returns a function that lists the methods by
 * which a URL is served; the list is empty for an unknown path. Fastify itself does not distinguish a wrong
 * method from an unknown path, and answers both with 404.
 */
export function watchMethods(app: FastifyInstance): (url: string) => string[] {
  const exact = new Map<string, Set<string>>();
  const below = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const [routes, path] = url.endsWith('*') ? [below, url.slice(0, -1)] : [exact, url];
    const methods = routes.get(path) ?? new Set();
    routes.set(path, methods);
    for (const each of [method].flat()) {
      methods.add(each);
      if (each === 'GET') methods.add('HEAD');
    }
  });
  return (url) => {
    const path = pathOf(url);
    const found = [
      ...(exact.get(path) ?? []),
      ...[...below].flatMap(([prefix, methods]) => (path.startsWith(prefix) ? [...methods] : [])),
    ];
    return [...new Set(found)].toSorted();
  };
}

/** Path of a request target, without its query and, in the absolute form (RFC 9112, 3.2.2), its origin. */
export function pathOf(url: string): string {
  const path = /^https?:\/\/[^/?#]*/i.test(url) ? url.replace(/^https?:\/\/[^/?#]*/i, '') : url;
  const end = path.search(/[?#]/);
  return (end < 0 ? path : path.slice(0, end)) || '/';
}
