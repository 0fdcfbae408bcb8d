import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Config } from '../config/config.ts';
import { createApp } from '../intake/http/app.ts';
import { registerIntake } from '../intake/http/routes.ts';
import { registerPing } from '../intake/http/ping.ts';
import type { Intake } from '../intake/ingest.ts';
import type { Count } from '../intake/http-error.ts';
import type { Tokens } from '../intake/http/token.ts';
import type { Metrics } from './metrics.ts';

/** What answers requests, once the engine has started. */
export interface Services {
  readonly metrics: Metrics;
  /** What the process tells of itself, loaded when it is asked for first. */
  readonly processMetrics: () => Promise<Registry>;
  /** Name by which whoever started this process recognizes its answer; null without one. */
  readonly instance: string | null;
  /** Why this process should get no events; null when it should. */
  readonly unready: () => string | null;
  /** Why outgoing events wait for an operator; null while they go out. */
  readonly sinkTrouble: () => string | null;
  /** Resolves when no work is left that is due, or after so many milliseconds. */
  readonly whenIdle: (withinMs: number) => Promise<void>;
  /** Where events go; null where nothing may be posted. */
  readonly intake: Intake | null;
  /** Who may post; undefined: anybody. */
  readonly tokens: Tokens | undefined;
  /** Bytes of requests that may be held at a time. */
  readonly maxBytes: number;
}

/** An HTTP server without routes. */
export function createServer(config: Config, logger: Logger, count: Count): FastifyInstance {
  return createApp({
    logger,
    count,
    bodyLimit: config.BODY_LIMIT_MIB * 1024 * 1024,
    requestTimeoutMs: config.REQUEST_TIMEOUT_SECONDS * 1000,
    turnover: { requests: config.CONNECTION_REQUESTS, seconds: config.CONNECTION_SECONDS },
  });
}

/** The routes of `muster serve`: events at `/`, and what Kubernetes and Prometheus ask. */
export function addRoutes(app: FastifyInstance, count: Count, services: Services): void {
  const { metrics, instance, unready, sinkTrouble, whenIdle, intake, tokens, maxBytes } = services;
  registerPing(app, { count, whenIdle });
  app.get('/health/liveness', () => 'alive');
  app.get('/health/readiness', (_request, reply) => {
    if (instance !== null) void reply.header('muster-instance', instance);
    const why = unready();
    if (why !== null) return reply.code(503).send(why);
    // Ready all the same: events that come in are safe in the outbox, while a source without a ready pod
    // gives up in the end and loses them.
    const trouble = sinkTrouble();
    return trouble === null ? 'ready' : `ready, but ${trouble}`;
  });
  app.get('/metrics', async (_request, reply) => {
    const registries = [metrics.registry, await services.processMetrics()];
    const texts = await Promise.all(registries.map((registry) => registry.metrics()));
    return reply.type(metrics.registry.contentType).send(texts.join(''));
  });
  if (intake !== null) registerIntake(app, intake, { count, tokens, maxBytes });
}
