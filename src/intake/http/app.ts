import Fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { pathOf, watchMethods } from '../../lib/allowed-methods.ts';
import { Connections, type TurnoverOptions } from './connections.ts';
import { HEADER_LIMIT, problemWithProtocol, Protocol } from './protocol.ts';
import { HttpError, type Count } from '../http-error.ts';
import { answerRefusal } from './refusals.ts';

export interface AppOptions {
  readonly logger?: FastifyBaseLogger;
  readonly count: Count;
  /** Maximum body in bytes; 16 MiB unless given, which is above `max.message.bytes` of any reasonable topic. */
  readonly bodyLimit?: number;
  /** Time limit for receiving a request; 60 s unless given. */
  readonly requestTimeoutMs?: number;
  /** When connections are closed, so that added pods get some of them; {@link TURNOVER} unless given. */
  readonly turnover?: Partial<TurnoverOptions>;
}

/** The media types that Fastify accepts (RFC 9110, 8.3.1). */
const MEDIA_TYPE = /^\s*[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(?:;|$)/;

/**
 * A new connection costs a pod 0.1 ms. With 99 connections an event costs 15 % more CPU at 20 requests each, 3 % at
 * 100, and nothing measurable at 1,000 or with 5 s alone. At 1,000 requests, added pods got no events. The time limit
 * is for slow senders.
 */
const TURNOVER: TurnoverOptions = { requests: 100, seconds: 5 };

/**
 * Creates an HTTP server whose limits lose no event. Fastify's defaults have no timeout for a body that trickles in,
 * refuse 1 MiB, and answer errors in a form that leaves the dead letter without a reason. Every answer of 4xx and
 * 5xx has the header `kne-reason` and a body `{error, reason}`, including those of the router, the body reader and
 * Node's parser.
 */
export function createApp(options: AppOptions): FastifyInstance {
  const { logger, count, requestTimeoutMs = 60_000 } = options;
  const app: FastifyInstance = Fastify({
    // Not through Fastify's option, which creates a child logger and two listeners for each request: 1.5 µs.
    ...(logger === undefined ? {} : { childLoggerFactory: () => logger }),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimit ?? 16 * 1024 * 1024,
    requestTimeout: requestTimeoutMs,
    // For idle sockets; later than requestTimeout, which answers 408.
    connectionTimeout: requestTimeoutMs + 60_000,
    // Longer than KafkaSource keeps an idle connection (10 s), so that it never writes to a closing one.
    keepAliveTimeout: 72_000,
    http: {
      // KafkaSource sends keys and Kafka headers as HTTP headers, the key twice.
      maxHeaderSize: HEADER_LIMIT,
      // Node would answer 400 without a reason; problemWithProtocol checks the header.
      requireHostHeader: false,
      // Defaults to 60 s; if it is the longer of the two, Node swaps them.
      headersTimeout: Math.min(requestTimeoutMs, 60_000),
      connectionsCheckingInterval: Math.min(requestTimeoutMs, 10_000),
    },
    onProtoPoisoning: 'remove',
    onConstructorPoisoning: 'remove',
    // Fastify's 503 has no reason; the hook below answers instead.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    clientErrorHandler: (error, socket) => protocol.onClientError(error, socket),
    frameworkErrors: (error, request, reply) => void refuse(request, reply, error),
  });
  const connections = new Connections({ ...TURNOVER, ...options.turnover });
  const protocol = new Protocol({ count, log: logger ?? app.log, connections });
  protocol.listen(app.server);
  const methodsOf = watchMethods(app);
  const refuse = (request: FastifyRequest, reply: FastifyReply, error: unknown) =>
    answerRefusal(request, reply, error, {
      count,
      endsFirst: (socket) => protocol.endsFirst(socket),
    });

  let closing = false;
  app.addHook('preClose', (done) => {
    closing = true;
    done();
  });
  app.addHook('onRequest', ({ raw }, reply, next) => {
    // A sender that waits for "100 Continue" sends no body after another answer.
    if (connections.isLast(reply.raw) || raw.headers.expect !== undefined) {
      void reply.header('connection', 'close');
    }
    const problem = closing
      ? new HttpError(503, 'the server is closing', 'draining')
      : problemWithProtocol(raw);
    next(problem ?? undefined);
  });
  readNoBodies(app);
  app.setErrorHandler((error, request, reply) => refuse(request, reply, error));
  app.setNotFoundHandler((request, reply) => {
    const methods = methodsOf(request.url);
    if (methods.length === 0) {
      const refused = new HttpError(404, 'nothing is served here; events go to /');
      return refuse(request, reply, refused);
    }
    void reply.header('allow', methods.join(', '));
    const path = pathOf(request.url);
    const where = path === '/' ? 'here' : `at ${path}`;
    return refuse(request, reply, new HttpError(405, `${request.method} is not served ${where}`));
  });
  return app;
}

/**
 * Leaves bodies of all content types to the handlers. KafkaSource sends Debezium's JSON without a content type, and
 * passes on a record's content-type header unchanged. If Fastify has no parser, or the header is not a media type,
 * it answers 415, which loses the event; its own parsers read bodies without the memory limit.
 */
function readNoBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null));
  app.addHook('onRequest', ({ headers }, _reply, next) => {
    if (headers['content-type'] !== undefined && !MEDIA_TYPE.test(headers['content-type'])) {
      headers['content-type'] = 'application/octet-stream';
    }
    next();
  });
}
