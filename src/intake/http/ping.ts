import type { FastifyInstance } from 'fastify';
import type { Count } from '../http-error.ts';

/** Type of the events of a Knative PingSource, in binary mode. */
const PING = 'dev.knative.sources.ping';
/** Pings come each minute: answers just before the next one. */
const PING_MS = 55_000;

export interface PingOptions {
  readonly count: Count;
  /** Resolves when no due work is left, or after this number of milliseconds. */
  readonly whenIdle: (withinMs: number) => Promise<void>;
}

/**
 * Answers pings, which wake a function at zero for due work, when no work is left: Knative counts requests, and would
 * stop the pod while it works. Has to be registered before intake.
 */
export function registerPing(app: FastifyInstance, { count, whenIdle }: PingOptions): void {
  app.addHook('preHandler', (request, reply, next) => {
    if (request.headers['ce-type'] !== PING) return next();
    // At the path of events only, where the sender is verified.
    if (request.method !== 'POST' || request.routeOptions.url !== '/') return next();
    whenIdle(PING_MS).then(() => {
      count('ignored', { why: 'ping' });
      return reply.code(204).send();
    }, next);
  });
}
