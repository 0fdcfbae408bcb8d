import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { Registry, type RegistryOptions, type StoredSchema } from '../../src/schemas/registry.ts';

/** A real HTTP server with the part of a schema registry's API that is read. */
export interface TestRegistry {
  readonly url: string;
  /** By the path below which it is served, such as `/schemas/ids/1`. */
  readonly schemas: Map<string, StoredSchema>;
  /** The requested paths, with the presented logins. */
  readonly asked: string[];
  /** Answers every request instead: null does not answer at all. */
  answer: { readonly status: number; readonly body: string } | null | undefined;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Answer of a registry for a schema that it does not have. */
const MISSING = '{"error_code":40403,"message":"Schema not found"}';

export async function startRegistry(
  schemas: Readonly<Record<string, StoredSchema>> = {},
): Promise<TestRegistry> {
  let server: Server;
  let port = 0;
  const registry: TestRegistry = {
    get url() {
      return `http://127.0.0.1:${port}/apis/ccompat/v7`;
    },
    schemas: new Map(Object.entries(schemas)),
    asked: [],
    answer: undefined,
    async start() {
      server = createServer(({ url, headers }, response) => {
        const path = url!.replace('/apis/ccompat/v7', '');
        registry.asked.push(`${path} ${headers.authorization ?? ''}`.trim());
        if (registry.answer === null) return;
        const stored =
          path === '/schemas/types' ? ['AVRO', 'PROTOBUF'] : registry.schemas.get(path);
        const { status, body } = registry.answer ?? {
          status: stored === undefined ? 404 : 200,
          body: stored === undefined ? MISSING : JSON.stringify(stored),
        };
        response.writeHead(status, { 'content-type': 'application/json' }).end(body);
      });
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      ({ port } = server.address() as AddressInfo);
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  await registry.start();
  onTestFinished(() => registry.stop());
  return registry;
}

export function registryAt(
  { url }: Pick<TestRegistry, 'url'>,
  options: Partial<RegistryOptions> = {},
): Registry {
  return new Registry({
    url,
    username: null,
    password: null,
    tokenFile: null,
    caFile: null,
    ...options,
  });
}
