import type { FastifyInstance } from 'fastify';
import { Histogram, Registry } from 'prom-client';
import { collectProcessMetrics } from '../telemetry/process-metrics.ts';

/** Serves `/metrics` (Prometheus): response times, except those of streams, which last as long as their clients stay. */
export function addMetrics(app: FastifyInstance): void {
  const registry = new Registry();
  const ofProcess = collectProcessMetrics();
  const seconds = new Histogram({
    name: 'muster_console_request_seconds',
    help: 'Time to answer a request, by route and status.',
    labelNames: ['route', 'status'],
    buckets: [0.005, 0.025, 0.1, 0.5, 2, 10],
    registers: [registry],
  });
  app.addHook('onResponse', (request, reply, done) => {
    if (!String(reply.getHeader('content-type')).startsWith('text/event-stream')) {
      // The label is the route's pattern, because the number of distinct paths is unbounded.
      const route = request.routeOptions.url ?? 'none';
      seconds.observe({ route, status: reply.statusCode }, reply.elapsedTime / 1000);
    }
    done();
  });
  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) => {
    const texts = await Promise.all([registry.metrics(), ofProcess.metrics()]);
    return reply.type(registry.contentType).send(texts.join(''));
  });
}
