import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

/** Content security policy: all content comes from this server, nothing is inline, and no other site frames it. */
const POLICY = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  imgSrc: ["'self'", 'data:'], // the icons of the documentation
  fontSrc: ["'self'"],
  connectSrc: ["'self'"],
  formAction: ["'self'"],
  baseUri: ["'none'"],
  frameAncestors: ["'none'"],
};

/** The policy of the documentation as a header: Swagger UI sets styles inline, but no scripts. */
export const DOCUMENTATION_POLICY = Object.entries({
  ...POLICY,
  styleSrc: ["'self'", "'unsafe-inline'"],
})
  .map(([name, values]) => `${name.replaceAll(/[A-Z]/g, '-$&').toLowerCase()} ${values.join(' ')}`)
  .join('; ');

/** Sets the security headers of every answer. */
export async function addSecurityHeaders(app: FastifyInstance): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: POLICY },
    frameguard: { action: 'deny' },
    // TLS ends at the ingress, which knows whether the whole host has it.
    strictTransportSecurity: false,
  });
  // Helmet does not set this one.
  app.addHook('onRequest', (_request, reply, next) => {
    void reply.header('permissions-policy', 'camera=(), geolocation=(), microphone=()');
    next();
  });
}
