import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

const compress = promisify(gzip);

/** Below this a compressed body is no faster. */
const WORTH_COMPRESSING = 1024;
const COMPRESSIBLE = /^(?:text\/|application\/(?:json|javascript|manifest\+json)|image\/svg)/;

/**
 * Gives every answer with a body in one piece a strong `ETag` (RFC 9110, 8.8.3), answers 304 to who has
 * it already, and compresses the others for who can read that. Streams pass as they are.
 */
export function addConditionalAnswers(app: FastifyInstance): void {
  app.addHook('onSend', async (request, reply, payload) => {
    if (typeof payload !== 'string' && !Buffer.isBuffer(payload)) return payload;
    if (reply.statusCode !== 200 || !/^(?:GET|HEAD)$/.test(request.method)) return payload;
    const body = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
    const zipped =
      body.length >= WORTH_COMPRESSING &&
      COMPRESSIBLE.test(String(reply.getHeader('content-type'))) &&
      accepts(request.headers['accept-encoding'], 'gzip');
    addVary(reply, 'accept-encoding');

    // Two forms of one body are two representations: each has a tag of its own.
    const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}${zipped ? '-gzip' : ''}"`;
    void reply.header('etag', tag);
    if (isKnown(request, tag)) {
      void reply.code(304).removeHeader('content-length').removeHeader('content-type');
      return '';
    }
    if (!zipped) return payload;
    void reply.header('content-encoding', 'gzip').removeHeader('content-length');
    return compress(body);
  });
}

/** RFC 9110, 13.1.2: compared weakly, because a proxy that compresses weakens tags. */
function isKnown(request: FastifyRequest, tag: string): boolean {
  const known = request.headers['if-none-match'];
  if (known === undefined) return false;
  if (known.trim() === '*') return true;
  return known.split(',').some((each) => each.trim().replace(/^W\//, '') === tag);
}

/** RFC 9110, 12.5.3; a coding that is not named is not asked for. */
function accepts(header: string | string[] | undefined, coding: string): boolean {
  return String(header ?? '')
    .split(',')
    .some((each) => {
      const [name, ...parameters] = each.split(';').map((part) => part.trim().toLowerCase());
      return name === coding && !parameters.some((part) => /^q=0(?:\.0*)?$/.test(part));
    });
}

function addVary(reply: FastifyReply, name: string): void {
  const given = String(reply.getHeader('vary') ?? '');
  const names = given.split(',').flatMap((each) => each.trim() || []);
  if (!names.includes(name)) void reply.header('vary', [...names, name].join(', '));
}
