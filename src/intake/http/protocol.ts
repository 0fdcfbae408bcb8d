import type { FastifyBaseLogger } from 'fastify';
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Connections } from './connections.ts';
import { LINGER_MS, HttpError, type Count } from '../http-error.ts';

/**
 * Largest head of a request. A KafkaSource sends a record's key in two headers, and a record of a topic
 * with Kafka's default limit has at most 1 MiB. Node reads such a head in 10 ms.
 */
export const HEADER_LIMIT = 2304 * 1024;
export interface ProtocolOptions {
  readonly count: Count;
  readonly log: FastifyBaseLogger;
  readonly connections: Connections;
}

/** What Node's HTTP server would refuse, or end, by itself: without a reason, a count or a line in the log. */
export class Protocol {
  readonly #options: ProtocolOptions;
  /** An error that ends a connection is told once, however much comes after it. */
  readonly #ended = new WeakSet<Socket>();

  constructor(options: ProtocolOptions) {
    this.#options = options;
  }

  /** Hands requests that Node would answer by itself to the routes, which refuse them as any other. */
  listen(server: Server): void {
    server.maxHeadersCount = 0; // HEADER_LIMIT is what bounds them: 200,000 short ones take 0.2 s
    const forward = (request: IncomingMessage, response: ServerResponse) =>
      void server.emit('request', request, response);
    server.on('checkContinue', forward).on('checkExpectation', forward);
    server.on('connect', (request: IncomingMessage, socket: Socket) => {
      socket.on('error', () => socket.destroy());
      this.#answer(socket, new HttpError(405, `${request.method} is not served here`));
    });
  }

  /** Answers what Node's parser refuses, or what does not arrive in time. */
  onClientError(error: Error & { code?: string; reason?: string }, socket: Socket): void {
    if (this.#ended.has(socket) || socket.destroyed) return;
    // A probe of the port, a connection opened in advance: nothing was asked, nothing is refused.
    const isUnused = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead === 0;
    if (error.code === 'ECONNRESET' || isUnused) return void socket.destroy();
    const refused = refusedByNode(error);
    const latest = this.#options.connections.latest(socket);
    if (latest?.req.complete === false) {
      // The rest of a body that was refused before it had arrived: its sender has its answer.
      if (latest.headersSent) return void socket.destroy();
      if (latest.socket !== null) return this.#answer(socket, refused, error.code);
    } else if (latest === undefined || latest.writableFinished) {
      return this.#answer(socket, refused, error.code);
    }
    // The next answer on this connection is that of an earlier request: its sender would take ours for it.
    this.#note(socket, refused, error.code);
    if (latest.req.complete) latest.once('finish', () => socket.destroySoon());
    else socket.destroy();
  }

  /** False if the connection's end was told already. */
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
      // Not half-closed: who trickles would go on, and the request would end as if it had been in time.
      socket.end(text, () => socket.destroy());
      return;
    }
    // What the sender still writes is read for a while: it would never hear the answer to a reset.
    socket.end(text);
    socket.resume();
    const linger = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket.once('close', () => clearTimeout(linger));
  }
}

/** What a request lacks or asks of the protocol, which Node would refuse by itself; null if nothing. */
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
