import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

/** The content security policy: all content comes from this server, nothing is inline, and nothing may frame it. */
const POLICY = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  imgSrc: ["'self'", 'data:'], // the documentation's icons are data URLs
  fontSrc: ["'self'"],
  connectSrc: ["'self'"],
  formAction: ["'self'"],
  baseUri: ["'none'"],
  frameAncestors: ["'none'"],
};

/** The documentation's policy as a header value: Swagger UI has inline styles, but no inline scripts. */
export const DOCUMENTATION_POLICY = Object.entries({
  ...POLICY,
  styleSrc: ["'self'", "'unsafe-inline'"],
})
  .map(([name, values]) => `${name.replaceAll(/[A-Z]/g, '-$&').toLowerCase()} ${values.join(' ')}`)
  .join('; ');

/** Adds security headers to every response. */
export async function addSecurityHeaders(app: FastifyInstance): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: POLICY },
    frameguard: { action: 'deny' },
    // TLS ends at the ingress, which knows whether the whole host supports TLS.
    strictTransportSecurity: false,
  });
  // Helmet does not set this header.
  app.addHook('onRequest', (_request, reply, next) => {
    void reply.header('permissions-policy', 'camera=(), geolocation=(), microphone=()');
    next();
  });
}
