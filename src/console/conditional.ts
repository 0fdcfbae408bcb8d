import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createHash } from 'node:crypto';

/**
 * Adds an `ETag` to every 200 response whose body is not a stream, and responds with 304 to a client that has
 * the body already. The tag is weak (RFC 9110, 8.8.1), because compression yields several encodings of one body.
 *
 * @fastify/etag is not used, because it compares a single tag only, whereas a proxy may send a list or `*`
 * (RFC 9110, 13.1.2), and because errors must not become 304.
 */
export function addConditionalAnswers(app: FastifyInstance): void {
  app.addHook('onSend', (request, reply, payload, done) => {
    const isWhole = typeof payload === 'string' || Buffer.isBuffer(payload);
    if (!isWhole || reply.statusCode !== 200 || !/^(?:GET|HEAD)$/.test(request.method)) {
      done(null, payload);
      return;
    }
    // @fastify/compress adds it to compressed responses only.
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

/** Returns whether the client has the body already. Tags are compared weakly (RFC 9110, 13.1.2). */
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
