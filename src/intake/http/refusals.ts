import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Unavailable } from '../../state/outcome.ts';
import { HttpError, type Count } from '../http-error.ts';

/** A refused sender that has sent nothing for this long has read the answer, or never will. */
export const LINGER_MS = 1_000;

/**
 * Converts an error to its answer. KafkaSource retries 404, 408, 409, 429, 5xx and broken connections and drops the
 * event on any other failure, so an error that is not known to be the sender's fault is a 503.
 */
function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof Unavailable) return new HttpError(503, error.message, error.reason);
  // Fastify's own errors carry their status.
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  if (status >= 400 && status < 500 && error instanceof Error) {
    return new HttpError(status, error.message);
  }
  return new HttpError(503, 'unexpected error, see the log', 'internal');
}

export interface Refusals {
  readonly count: Count;
  /** False if the end of this connection was counted already. */
  readonly endsFirst: (socket: Socket) => boolean;
}

/** Answers, counts and logs a refusal; never logs the body, which may hold personal data. */
export function answerRefusal(
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
  { count, endsFirst }: Refusals,
): FastifyReply {
  const { status, reason, message } = toHttpError(error);
  const { raw } = request;
  // The connection has ended: protocol.ts has answered, or the sender has disconnected. A request that was still
  // being sent is counted nevertheless.
  if (raw.socket.destroyed && (raw.complete || !endsFirst(raw.socket))) {
    return reply.code(status).send();
  }
  count('refused', { reason });
  const fields = { status, reason, ...namesOf(request.headers) };
  if (reason === 'internal') request.log.error({ ...fields, err: error }, 'refused');
  else request.log.warn({ ...fields, error: message }, 'refused');
  if (status === 401) void reply.header('www-authenticate', 'Bearer'); // RFC 9110, 15.5.2
  if (!raw.complete && raw.headers.expect === undefined && reason !== 'draining') {
    if (reply.hasHeader('connection')) void reply.removeHeader('connection');
    discardRest(raw);
  }
  return reply.code(status).header('kne-reason', reason).send({ error: message, reason });
}

/**
 * Reads and discards the rest of a refused request. Closing the connection at once would reset it, and the sender
 * might never read the answer. The connection is closed when the sender stops sending.
 */
function discardRest(request: IncomingMessage): void {
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  const stop = () => {
    clearTimeout(timer);
    socket.off('close', stop);
  };
  request.on('data', () => timer.refresh()).once('end', stop);
  socket.once('close', stop);
}

/** Returns what identifies the event in Kafka and at its sender. */
function namesOf(headers: IncomingHttpHeaders): Record<string, unknown> {
  return {
    source: headers['ce-source'],
    id: headers['ce-id'],
    partition: headers['ce-knativekafkapartition'],
    offset: headers['ce-knativekafkaoffset'],
  };
}
