import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Config } from '../config/config.ts';
import { createApp } from '../intake/http/app.ts';
import { registerIntake } from '../intake/http/routes.ts';
import { registerPing } from '../intake/http/ping.ts';
import type { SchemaDecoder } from '../intake/debezium/decode-framed.ts';
import type { Intake } from '../intake/ingest.ts';
import type { Count } from '../intake/http-error.ts';
import type { Tokens } from '../intake/http/token.ts';
import type { Metrics } from './metrics.ts';

/** What the routes answer with. */
export interface Services {
  readonly metrics: Metrics;
  /** Metrics about the process itself; loaded at the first call. */
  readonly processMetrics: () => Promise<Registry>;
  /** Name by which the program that started this process recognizes its answers; null without one. */
  readonly instance: string | null;
  /** Why this process must get no events; null if it may. */
  readonly unready: () => string | null;
  /** Why outgoing events, or those that come with a schema, wait until an operator acts; null if none do. */
  readonly trouble: () => string | null;
  /** Resolves when no due work is left, or after `withinMs`. */
  readonly untilIdle: (withinMs: number) => Promise<void>;
  /** Whether a part of a function names the pings of a PingSource. */
  readonly pingsArePart: boolean;
  /** Receives events; null if none may be posted. */
  readonly intake: Intake | null;
  /** Verifies senders; undefined if anybody may post. */
  readonly tokens: Tokens | undefined;
  /** Decodes data with a schema of a registry; null without one. */
  readonly schemas: SchemaDecoder | null;
  /** Memory for requests in flight, in bytes. */
  readonly maxBytes: number;
}

/** Creates an HTTP server without routes. */
export function createServer(config: Config, logger: Logger, count: Count): FastifyInstance {
  return createApp({
    logger,
    count,
    bodyLimit: config.BODY_LIMIT_MIB * 1024 * 1024,
    requestTimeoutMs: config.REQUEST_TIMEOUT_SECONDS * 1000,
    turnover: { requests: config.CONNECTION_REQUESTS, seconds: config.CONNECTION_SECONDS },
  });
}

/** Adds the routes of `muster serve`: events at `/`, health checks and metrics. */
export function addRoutes(app: FastifyInstance, count: Count, services: Services): void {
  const { metrics, instance, unready, trouble, untilIdle, intake } = services;
  registerPing(app, { count, arePart: services.pingsArePart, whenIdle: untilIdle });
  app.get('/health/liveness', () => 'alive');
  app.get('/health/readiness', (_request, reply) => {
    if (instance !== null) void reply.header('muster-instance', instance);
    const why = unready();
    if (why !== null) return reply.code(503).send(why);
    // The process is ready nevertheless: its outgoing events are safe in the outbox, and events that need no schema
    // are ingested, while a source without a ready pod gives up in the end and loses events.
    const but = trouble();
    return but === null ? 'ready' : `ready, but ${but}`;
  });
  app.get('/metrics', async (_request, reply) => {
    const registries = [metrics.registry, await services.processMetrics()];
    const texts = await Promise.all(registries.map((registry) => registry.metrics()));
    return reply.type(metrics.registry.contentType).send(texts.join(''));
  });
  if (intake !== null) registerIntake(app, intake, { count, ...services });
}
