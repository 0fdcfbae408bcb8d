import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

/** The content security policy: all content comes from this server, nothing is inline, and nothing may frame it. */
const POLICY = {
  'default-src': ["'none'"],
  'script-src': ["'self'"],
  'style-src': ["'self'"],
  'img-src': ["'self'", 'data:'], // the documentation's icons are data URLs
  'font-src': ["'self'"],
  'connect-src': ["'self'"],
  'form-action': ["'self'"],
  'base-uri': ["'none'"],
  'frame-ancestors': ["'none'"],
};

/** The documentation's policy: Swagger UI has inline styles, but no inline scripts. */
export const DOCUMENTATION_POLICY = { ...POLICY, 'style-src': ["'self'", "'unsafe-inline'"] };

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
