import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { FunctionConsole } from './consoles.ts';
import { DOCUMENTATION_POLICY } from './headers.ts';

/** Path of the page that documents the API; `json` and `yaml` below it are the OpenAPI document. */
const DOCUMENTATION = '/api/docs';

/** Serves an OpenAPI document of all routes that are registered after this call, and a page to try them out. */
export async function addDocumentation(
  app: FastifyInstance,
  consoles: readonly FunctionConsole[],
): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Muster console',
        description: consoles
          .map(({ title, description }) => `## ${title}\n${description}`)
          .join('\n'),
        version: '1',
      },
      tags: consoles.map(({ name }) => ({ name })),
    },
  });
  await app.register(swaggerUi, {
    routePrefix: DOCUMENTATION,
    baseDir: fileURLToPath(assets()),
    // The default logo would be read from a path that does not exist in the bundle.
    logo: { type: 'image/svg+xml', content: LOGO },
    staticCSP: DOCUMENTATION_POLICY,
    theme: { title: 'Muster console: API', favicon: [] },
    uiConfig: {
      docExpansion: 'list',
      deepLinking: true,
      layout: 'BaseLayout',
      tryItOutEnabled: true,
      validatorUrl: null,
    },
  });
}

const LOGO = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>');

/** Returns the folder with the static files of @fastify/swagger-ui; a bundle contains a copy of it. */
function assets(): URL {
  const copy = new URL('swagger-ui/', import.meta.url);
  if (existsSync(copy)) return copy;
  const entry = createRequire(import.meta.url).resolve('@fastify/swagger-ui');
  return new URL('static/', pathToFileURL(entry));
}
