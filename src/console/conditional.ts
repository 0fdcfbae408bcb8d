import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createHash } from 'node:crypto';

/**
 * Adds an `ETag` to every answer of 200 whose body is in one piece, and answers 304 to a client that has the
 * body already. The tag is weak (RFC 9110, 8.8.1), because compression makes several forms of one body.
 *
 * This is not @fastify/etag, which compares a single tag: a proxy may send a list or `*` (RFC 9110, 13.1.2), and
 * errors must not become 304.
 */
export function addConditionalAnswers(app: FastifyInstance): void {
  app.addHook('onSend', (request, reply, payload, done) => {
    const isWhole = typeof payload === 'string' || Buffer.isBuffer(payload);
    if (!isWhole || reply.statusCode !== 200 || !/^(?:GET|HEAD)$/.test(request.method)) {
      done(null, payload);
      return;
    }
    // @fastify/compress names it in compressed answers only.
    addVary(reply, 'accept-encoding');
    const tag = `W/"${createHash('sha256').update(payload).digest('base64url').slice(0, 22)}"`;
    void reply.header('etag', tag);
    if (!isKnown(request, tag)) {
      done(null, payload);
      return;
    }
    void reply.code(304).removeHeader('content-length').removeHeader('content-type');
    done(null, '');
  });
}

/** RFC 9110, 13.1.2: tags are compared weakly. */
function isKnown(request: FastifyRequest, tag: string): boolean {
  const known = request.headers['if-none-match'];
  if (known === undefined) return false;
  if (known.trim() === '*') return true;
  return known.split(',').some((each) => opaque(each.trim()) === opaque(tag));
}

function addVary(reply: FastifyReply, name: string): void {
  const given = String(reply.getHeader('vary') ?? '');
  const names = given.split(',').flatMap((each) => each.trim() || []);
  if (!names.includes(name)) void reply.header('vary', [...names, name].join(', '));
}

function opaque(tag: string): string {
  return tag.replace(/^W\//, '');
}
