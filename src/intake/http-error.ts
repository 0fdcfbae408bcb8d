import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Unavailable } from '../state/outcome.ts';

/** Counts what intake did; labels are few and fixed, fit for a metric. */
export type Count = (
  name: 'events' | 'ignored' | 'parked' | 'refused',
  labels: Readonly<Record<string, string>>,
) => void;

/** A sender that was refused and sends nothing more for this long has seen the answer, or never will. */
export const LINGER_MS = 1_000;

/** Every word that `kne-reason` may hold, which is also the label of what is counted. */
export const REFUSAL_REASONS = [
  'bad-request',
  'bad-token',
  'broken-off',
  'misdirected',
  'database',
  'draining',
  'expectation-failed',
  'headers-too-large',
  'internal',
  'issuer-unavailable',
  'length-required',
  'method-not-allowed',
  'no-token',
  'not-a-cloudevent',
  'not-found',
  'overload',
  'superseded',
  'timeout',
  'token-not-yet-valid',
  'too-large',
  'unknown-key',
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** Words for the statuses that Fastify and Node's parser answer by themselves. */
const REASONS: Readonly<Record<number, RefusalReason>> = {
  400: 'bad-request',
  404: 'not-found',
  405: 'method-not-allowed',
  408: 'timeout',
  411: 'length-required',
  413: 'too-large',
  417: 'expectation-failed',
  431: 'headers-too-large',
};

/** Why a request is not answered with 2xx: the message is for people. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  /** Goes into the header `kne-reason`, which KafkaSource puts on the dead letter as extension `reason`. */
  readonly reason: RefusalReason;

  constructor(
    status: number,
    message: string,
    reason: RefusalReason = REASONS[status] ?? 'bad-request',
  ) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/**
 * Which answer an error gets. KafkaSource tries 404, 408, 409, 429, 5xx and broken connections again
 * and drops an event on any other failure, so whatever is not known to be the sender's fault is 503.
 */
function toRefused(error: unknown): HttpError {
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

/** Answers, counts and logs a refusal; never with the body, which may be personal. */
export function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
  { count, endsFirst }: Refusals,
): FastifyReply {
  const { status, reason, message } = toRefused(error);
  const { raw } = request;
  // Nobody is there to be refused: protocol.ts has answered for Node, or the sender went away. What it
  // takes along while it is still sending is counted all the same.
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
 * Reads what is still to come of a refused request. A connection that is closed before is reset, and the
 * sender may never see the answer; one whose sender stops, because it has seen it, is closed.
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

/** How an event is found again, in Kafka and at its sender. */
function namesOf(headers: IncomingHttpHeaders): Record<string, unknown> {
  return {
    source: headers['ce-source'],
    id: headers['ce-id'],
    partition: headers['ce-knativekafkapartition'],
    offset: headers['ce-knativekafkaoffset'],
  };
}
