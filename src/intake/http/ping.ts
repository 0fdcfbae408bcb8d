import type { FastifyInstance } from 'fastify';
import type { FunctionDefinition } from '../../function.ts';
import type { Count } from '../http-error.ts';

/** Type of the events of a Knative PingSource, in binary mode. */
const PING = 'dev.knative.sources.ping';
/** Pings come each minute: answers just before the next one. */
const PING_MS = 55_000;

export interface PingOptions {
  readonly count: Count;
  /** Whether pings are a part of a function, so that each is an event like any other. */
  readonly arePart: boolean;
  /** Resolves when no due work is left, or after this number of milliseconds. */
  readonly whenIdle: (withinMs: number) => Promise<void>;
}

/** Whether a part of these functions is or retracts a ping. */
export function pingsArePart(functions: readonly FunctionDefinition[]): boolean {
  return functions.some(({ parts }) =>
    Object.values(parts).some(
      (part) => 'event' in part && (part.event === PING || part.deletedBy === PING),
    ),
  );
}

/**
 * Answers pings, which wake a function at zero for due work, when no work is left: Knative counts requests, and would
 * stop the pod while it works. Has to be registered before intake.
 */
export function registerPing(
  app: FastifyInstance,
  { count, arePart, whenIdle }: PingOptions,
): void {
  if (arePart) return;
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
