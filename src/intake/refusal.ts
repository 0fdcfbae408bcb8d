import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import { Unavailable } from '../state/outcome.ts';

/** Counts what intake did; labels are few and fixed, fit for a metric. */
export type Count = (
  name: 'events' | 'ignored' | 'parked' | 'refused',
  labels: Readonly<Record<string, string>>,
) => void;

/** Words for the statuses that Fastify and Node's parser answer by themselves. */
const REASONS: Readonly<Record<number, string>> = {
  400: 'bad-request',
  404: 'not-found',
  405: 'method-not-allowed',
  408: 'timeout',
  413: 'too-large',
  431: 'headers-too-large',
};

/** Why a request is not answered with 2xx: the message is for people. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;
  /** Goes into the header `kne-reason`, which KafkaSource puts on the dead letter as extension `reason`. */
  readonly reason: string;

  constructor(status: number, message: string, reason = REASONS[status] ?? 'bad-request') {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/**
 * Which answer an error gets. KafkaSource tries 404, 408, 409, 429, 5xx and broken connections again
 * and drops an event on any other failure, so whatever is not known to be the sender's fault is 503.
 */
function toRefused(error: unknown): Refused {
  if (error instanceof Refused) return error;
  if (error instanceof Unavailable) return new Refused(503, error.message, error.reason);
  // Fastify's own errors carry their status.
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  if (status >= 400 && status < 500 && error instanceof Error) {
    return new Refused(status, error.message);
  }
  return new Refused(503, 'unexpected error, see the log', 'internal');
}

/** Answers, counts and logs a refusal; never with the body, which may be personal. */
export function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
  count: Count,
): FastifyReply {
  const { status, reason, message } = toRefused(error);
  // Nobody is there to be refused: app.ts has answered for Node, or the sender went away.
  if (request.raw.socket.destroyed) return reply.code(status).send();
  count('refused', { reason });
  const fields = { status, reason, ...namesOf(request.headers) };
  if (reason === 'internal') request.log.error({ ...fields, err: error }, 'refused');
  else request.log.warn({ ...fields, error: message }, 'refused');
  if (status === 401) void reply.header('www-authenticate', 'Bearer'); // RFC 9110, 15.5.2
  return reply.code(status).header('kne-reason', reason).send({ error: message, reason });
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
