import accepts from '@fastify/accepts';
import compress from '@fastify/compress';
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { pathOf, watchMethods } from '../lib/allowed-methods.ts';
import type { Reader } from '../state/database/reader.ts';
import { addConditionalAnswers } from './conditional.ts';
import type { FunctionConsole } from './consoles.ts';
import type { DevelopmentPage } from './development-page.ts';
import { addDocumentation } from './documentation.ts';
import { answerError } from './errors.ts';
import { addSecurityHeaders } from './headers.ts';
import { addMetrics } from './metrics.ts';
import { addOverview } from './overview.ts';
import { addSets } from './sets.ts';
import { servePage } from './page.ts';
import { checkAnswers } from './serializer.ts';

export interface ConsoleOptions {
  readonly db: Reader;
  readonly consoles: readonly FunctionConsole[];
  /** The page that sends events; none by default. */
  readonly sendPage?: DevelopmentPage | null;
  readonly logger?: FastifyBaseLogger;
  /** Identifies this process in readiness responses to the program that started it; none by default. */
  readonly instance?: string | null;
  /** Time limit for receiving a request; 60 s by default. */
  readonly requestTimeoutMs?: number;
}

/**
 * Creates the console: a read-only API and its pages, and for `muster dev` one that sends events. The console is stateless, so any number of them may run,
 * and nothing else depends on one.
 */
export async function createConsole(options: ConsoleOptions): Promise<FastifyInstance> {
  const { db, consoles, sendPage = null, instance = null, requestTimeoutMs = 60_000 } = options;
  const app: FastifyInstance = Fastify({
    ...(options.logger === undefined ? {} : { loggerInstance: options.logger }),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 64 * 1024,
    requestTimeout: requestTimeoutMs,
    forceCloseConnections: 'idle',
    // An unknown parameter is probably a typo: it must be reported, not dropped.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  });
  const stopping = new AbortController();
  app.addHook('preClose', (done) => {
    stopping.abort();
    done();
  });
  app.setErrorHandler(answerError);
  checkAnswers(app);
  const methodsOf = watchMethods(app);
  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request.url);
    const methods = methodsOf(request.url);
    if (methods.length === 0) {
      return reply.code(404).send({ error: `nothing is served at ${path}`, reason: 'not-found' });
    }
    return reply
      .code(405)
      .header('allow', methods.join(', '))
      .send({ error: `${request.method} is not served at ${path}`, reason: 'method-not-allowed' });
  });
  await addSecurityHeaders(app);
  await app.register(accepts);
  // Registered before compression, so that nothing is compressed for a client that has the body already.
  addConditionalAnswers(app);
  await app.register(compress, { encodings: ['gzip'], globalDecompression: false });
  addMetrics(app);

  app.get('/health/liveness', { schema: { hide: true } }, () => 'alive');
  app.get('/health/readiness', { schema: { hide: true } }, async (_request, reply) => {
    if (instance !== null) void reply.header('muster-instance', instance);
    if (stopping.signal.aborted) return reply.code(503).send('stopping');
    await db.read((tx) => tx.query('select from muster.function limit 1'));
    return 'ready';
  });

  await addDocumentation(app, consoles);
  addOverview(app, db, consoles, sendPage);
  addSets(app, db);
  await sendPage?.add(app);
  for (const { name, page, ...definition } of consoles) {
    await app.register(
      async (scope) => {
        // The tag makes the documentation list each route under the name of its function.
        scope.addHook('onRoute', (route) => {
          route.schema = { tags: [name], ...route.schema };
        });
        await definition.routes(scope, { db, log: app.log, stopping: stopping.signal });
      },
      { prefix: `/api/${name}` },
    );
    if (page !== null) await servePage(app, `/${name}/`, page);
  }
  await servePage(app, '/', new URL('page/', import.meta.url));
  return app;
}
