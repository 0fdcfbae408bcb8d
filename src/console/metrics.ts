import type { FastifyInstance } from 'fastify';
import { Histogram, Registry } from 'prom-client';
import { collectProcessMetrics } from '../telemetry/process-metrics.ts';

/** Serves `/metrics` (Prometheus): how long answers took, but for streams, which last as long as they are watched. */
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
      // The route's pattern: addresses are without number.
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
