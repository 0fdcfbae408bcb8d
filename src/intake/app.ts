import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { answer, Refused, type Count } from './refusal.ts';

export interface AppOptions {
  readonly logger?: FastifyBaseLogger;
  readonly count: Count;
  /** Largest body in bytes; 16 MiB unless given: above `max.message.bytes` of any sane topic. */
  readonly bodyLimit?: number;
  /** A request must be here in whole after this time; 60 s unless given. */
  readonly requestTimeoutMs?: number;
  /**
   * Requests after which a connection is closed; 1,000 unless given. A connection stays on its pod:
   * without this, four of six pods that were added got no events.
   */
  readonly maxRequestsPerSocket?: number;
}

/**
 * The HTTP server with limits that lose no event: Fastify's own have no time-out for a body that
 * trickles, refuse 1 MiB, and answer errors in a form that leaves the dead letter without a reason.
 * Every answer of 4xx and 5xx has the header `kne-reason` and a body `{error, reason}`, also those
 * of the router, the body reader and Node's parser.
 */
export function createApp(options: AppOptions): FastifyInstance {
  const { logger, count, requestTimeoutMs = 60_000 } = options;
  const app: FastifyInstance = Fastify({
    // Not as Fastify's own logger, of which each request would get a child and two listeners: 1.5 µs.
    ...(logger === undefined ? {} : { childLoggerFactory: () => logger }),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimit ?? 16 * 1024 * 1024,
    requestTimeout: requestTimeoutMs,
    // A socket so long silent has no request on its way; later than requestTimeout, which answers 408.
    connectionTimeout: requestTimeoutMs + 60_000,
    // Longer than KafkaSource keeps an idle connection (10 s), so that it never writes into a closing one.
    keepAliveTimeout: 72_000,
    maxRequestsPerSocket: options.maxRequestsPerSocket ?? 1000,
    http: {
      // Keys and Kafka headers arrive as headers, the key twice.
      maxHeaderSize: 64 * 1024,
      // 60 s unless given; where it is the longer one, Node takes each of the two for the other.
      headersTimeout: Math.min(requestTimeoutMs, 60_000),
      connectionsCheckingInterval: Math.min(requestTimeoutMs, 10_000),
    },
    onProtoPoisoning: 'remove',
    onConstructorPoisoning: 'remove',
    // Fastify's own 503 has no reason; the hook below answers instead.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    clientErrorHandler: (error, socket) => answerSocket(error, socket, count, logger ?? app.log),
    frameworkErrors: (error, request, reply) => void answer(request, reply, error, count),
  });

  let closing = false;
  app.addHook('preClose', (done) => {
    closing = true;
    done();
  });
  app.addHook('onRequest', (_request, _reply, next) => {
    next(closing ? new Refused(503, 'the server is closing', 'draining') : undefined);
  });
  app.setErrorHandler((error, request, reply) => answer(request, reply, error, count));
  app.setNotFoundHandler((request, reply) => {
    const here = request.url.split('?', 1)[0] === '/';
    if (here) void reply.header('allow', 'GET, HEAD, POST');
    const refused = here
      ? new Refused(405, `${request.method} is not served here`)
      : new Refused(404, 'nothing is served here; events go to /');
    return answer(request, reply, refused, count);
  });
  return app;
}

/** What Node refuses before or while a request arrives, so the answer is written by hand. */
function answerSocket(
  error: Error & { code?: string },
  socket: Socket,
  count: Count,
  log: FastifyBaseLogger,
): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const { status, reason, message } = refusedByNode(error.code);
  count('refused', { reason });
  log.warn({ status, reason, code: error.code }, 'refused');
  const body = JSON.stringify({ error: message, reason });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `kne-reason: ${reason}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  // Not half-closed: who trickles would go on, and the request would end as if it had been in time.
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function refusedByNode(code: string | undefined): Refused {
  switch (code ?? '') {
    case 'HPE_HEADER_OVERFLOW':
      return new Refused(431, 'the headers are larger than 64 KiB');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Refused(408, 'the request did not arrive in time');
    case 'HPE_INVALID_EOF_STATE':
      return new Refused(408, 'the connection ended before the request', 'broken-off');
    default:
      return new Refused(400, 'not HTTP');
  }
}
