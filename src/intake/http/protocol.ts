import type { FastifyBaseLogger } from 'fastify';
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Connections } from './connections.ts';
import { HttpError, type Count } from '../http-error.ts';
import { LINGER_MS } from './refusals.ts';

/**
 * Maximum size of a request's headers. A KafkaSource sends a record's key in two headers, and a record of a topic with
 * Kafka's default limit has at most 1 MiB. Node reads such headers in 10 ms.
 */
export const HEADER_LIMIT = 2304 * 1024;
export interface ProtocolOptions {
  readonly count: Count;
  readonly log: FastifyBaseLogger;
  readonly connections: Connections;
}

/** Answers requests that Node's HTTP server would refuse or end without a reason, a count or a log line. */
export class Protocol {
  readonly #options: ProtocolOptions;
  /** Connections whose end has been counted, so that each counts once. */
  readonly #ended = new WeakSet<Socket>();

  constructor(options: ProtocolOptions) {
    this.#options = options;
  }

  /** Passes requests that Node would answer itself to the routes, which refuse them like any other. */
  listen(server: Server): void {
    server.maxHeadersCount = 0; // HEADER_LIMIT bounds them: 200,000 short headers take 0.2 s
    const forward = (request: IncomingMessage, response: ServerResponse) =>
      void server.emit('request', request, response);
    server.on('checkContinue', forward).on('checkExpectation', forward);
    server.on('connect', (request: IncomingMessage, socket: Socket) => {
      socket.on('error', () => socket.destroy());
      this.#answer(socket, new HttpError(405, `${request.method} is not served here`));
    });
  }

  /** Answers requests that Node's parser refuses or that do not arrive in time. */
  onClientError(error: Error & { code?: string; reason?: string }, socket: Socket): void {
    if (this.#ended.has(socket) || socket.destroyed) return;
    // A probe of the port, or a connection opened in advance: there is no request to refuse.
    const isUnused = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead === 0;
    if (error.code === 'ECONNRESET' || isUnused) return void socket.destroy();
    const refused = refusedByNode(error);
    const latest = this.#options.connections.latest(socket);
    if (latest?.req.complete === false) {
      // The rest of a body that was refused before it had arrived: its sender has been answered.
      if (latest.headersSent) return void socket.destroy();
      if (latest.socket !== null) return this.#answer(socket, refused, error.code);
    } else if (latest === undefined || latest.writableFinished) {
      return this.#answer(socket, refused, error.code);
    }
    // The next answer on this connection belongs to an earlier request, so no other may be sent.
    this.#note(socket, refused, error.code);
    if (latest.req.complete) latest.once('finish', () => socket.destroySoon());
    else socket.destroy();
  }

  /** Returns false if the connection's end has been counted already. */
  endsFirst(socket: Socket): boolean {
    if (this.#ended.has(socket)) return false;
    this.#ended.add(socket);
    return true;
  }

  #note(socket: Socket, { status, reason, message }: HttpError, code: string | undefined): void {
    this.#ended.add(socket);
    this.#options.count('refused', { reason });
    this.#options.log.warn({ status, reason, code, error: message }, 'refused');
  }

  #answer(socket: Socket, refused: HttpError, code?: string): void {
    this.#note(socket, refused, code);
    const { status, reason, message } = refused;
    const body = JSON.stringify({ error: message, reason });
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      `kne-reason: ${reason}`,
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
      ...(status === 405 ? ['allow: GET, HEAD, POST'] : []),
    ];
    const text = `${head.join('\r\n')}\r\n\r\n${body}`;
    if (status === 408) {
      // Not half-closed: a sender that trickles would continue, and the request would end as if it had been in time.
      socket.end(text, () => socket.destroy());
      return;
    }
    // The sender's remaining bytes are read for a while: a reset would discard the answer.
    socket.end(text);
    socket.resume();
    const linger = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket.once('close', () => clearTimeout(linger));
  }
}

/** Returns why Node would refuse a request by the rules of HTTP; null if it would not. */
export function problemWithProtocol({
  headers,
  httpVersion,
  method,
}: IncomingMessage): HttpError | null {
  if (headers.host === undefined && httpVersion === '1.1') {
    return new HttpError(400, 'the request has no header Host, which HTTP/1.1 requires');
  }
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    return new HttpError(
      417,
      `the header Expect may ask for 100-continue, not for ${headers.expect}`,
    );
  }
  if (
    httpVersion === '1.0' &&
    method === 'POST' &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined
  ) {
    return new HttpError(
      411,
      'the request has no header Content-Length, so HTTP/1.0 takes it for empty',
    );
  }
  return null;
}

function refusedByNode({
  code,
  reason,
  message,
}: Error & { code?: string; reason?: string }): HttpError {
  switch (code ?? '') {
    case 'HPE_HEADER_OVERFLOW':
      return new HttpError(431, `the headers are larger than ${HEADER_LIMIT / 1024} KiB`);
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HttpError(408, 'the request did not arrive in time');
    case 'HPE_INVALID_EOF_STATE':
      return new HttpError(408, 'the connection ended before the request', 'broken-off');
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new HttpError(413, 'the extensions of a chunk are larger than 16 KiB');
    default:
      return new HttpError(400, `not HTTP: ${reason ?? message}`);
  }
}
