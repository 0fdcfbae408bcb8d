import type { FastifyInstance } from 'fastify';
import type { Count } from '../http-error.ts';

/** What a Knative PingSource sends, in binary mode. */
const PING = 'dev.knative.sources.ping';
/** Just before the next one comes: they come each minute. */
const PING_MS = 55_000;

export interface PingOptions {
  readonly count: Count;
  /** Resolves when no work is left that is due, or after so many milliseconds. */
  readonly whenIdle: (withinMs: number) => Promise<void>;
}

/**
 * Answers pings, which wake a function at zero for work that is due, once nothing is left to do: Knative
 * counts requests, and would stop the pod in the middle of it. To be registered before intake.
 */
export function registerPing(app: FastifyInstance, { count, whenIdle }: PingOptions): void {
  app.addHook('preHandler', (request, reply, next) => {
    if (request.headers['ce-type'] !== PING) return next();
    // Where events go and nowhere else: there it is asked who sends it.
    if (request.method !== 'POST' || request.routeOptions.url !== '/') return next();
    whenIdle(PING_MS).then(() => {
      count('ignored', { why: 'ping' });
      return reply.code(204).send();
    }, next);
  });
}
