import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { errorText } from '../lib/error-text.ts';
import { isUngranted, isUnmigrated, mayPass } from '../state/database/database.ts';
import type { Failure } from './api-answers.ts';
import { BadField } from './plugin.ts';

/** Sends the response for an error. An unexpected error is logged and reported to the client without details. */
export function answerError(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { status, failure } = toFailure(error);
  if (status >= 500) request.log.error({ err: error, url: request.url }, failure.error);
  if (status === 503) void reply.header('retry-after', '1');
  return reply.code(status).header('cache-control', 'no-store').send(failure);
}

function toFailure(error: FastifyError | BadField): { status: number; failure: Failure } {
  if (error instanceof BadField) {
    const failure = { error: error.message, reason: 'bad-request', field: error.field };
    return { status: 400, failure };
  }
  const [problem] = error.validation ?? [];
  if (problem !== undefined) {
    const { params, instancePath, message } = problem;
    const { additionalProperty, missingProperty } = params as Record<string, string | undefined>;
    const field = additionalProperty ?? missingProperty ?? instancePath.slice(1);
    const what =
      missingProperty !== undefined
        ? 'is missing'
        : additionalProperty === undefined
          ? message
          : 'is not a known parameter';
    const reason = 'bad-request';
    // the body as a whole has no name
    return field === ''
      ? { status: 400, failure: { error: `the body ${what}`, reason } }
      : { status: 400, failure: { error: `${field} ${what}`, reason, field } };
  }
  if (isUnmigrated(error)) {
    const what = "migrate the state database to this release first, with 'muster migrate'";
    return { status: 503, failure: { error: `${error.message}: ${what}`, reason: 'database' } };
  }
  if (isUngranted(error)) {
    const what = "grant muster_read, which 'muster migrate' sets up, to the console's login";
    return { status: 503, failure: { error: `${error.message}: ${what}`, reason: 'database' } };
  }
  if (mayPass(error)) {
    const failure = {
      error: `the database does not answer: ${errorText(error)}`,
      reason: 'database',
    };
    return { status: 503, failure };
  }
  const { statusCode = 500, message } = error;
  if (statusCode >= 400 && statusCode < 500) {
    const reason = statusCode === 404 ? 'not-found' : 'refused';
    return { status: statusCode, failure: { error: message, reason } };
  }
  if (statusCode === 503) return { status: 503, failure: { error: message, reason: 'busy' } };
  return { status: 500, failure: { error: 'unexpected error, see the log', reason: 'internal' } };
}
