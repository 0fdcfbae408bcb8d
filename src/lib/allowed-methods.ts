import type { FastifyInstance } from 'fastify';

/**
 * Watches an app's routes from now on; gives back a function that names the methods a URL is served
 * with, none where nothing is served. Fastify itself answers a wrong method like an unknown path, by 404.
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

/** A request's target without its query; of one in absolute form (RFC 9112, 3.2.2) the path. */
export function pathOf(url: string): string {
  const path = /^https?:\/\/[^/?#]*/i.test(url) ? url.replace(/^https?:\/\/[^/?#]*/i, '') : url;
  const end = path.search(/[?#]/);
  return (end < 0 ? path : path.slice(0, end)) || '/';
}
