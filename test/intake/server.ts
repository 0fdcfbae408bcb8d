import type { FastifyInstance } from 'fastify';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { pino } from 'pino';
import { test as base } from 'vitest';
import { createApp, type AppOptions } from '../../src/intake/http/app.ts';
import { registerIntake, type IntakeOptions } from '../../src/intake/http/routes.ts';
import type { Intake } from '../../src/intake/ingest.ts';
import type { Change, Origin } from '../../src/state/change.ts';
import type { Outcome } from '../../src/state/outcome.ts';

/** A listening server over an intake of the test's choice, with what it counted and logged. */
interface TestServer {
  readonly app: FastifyInstance;
  readonly port: number;
  readonly counted: string[];
  readonly logged: Record<string, unknown>[];
  /** Sends with the headers of a minimal CloudEvent of KafkaSource; null takes one away. */
  post(
    body: string | Uint8Array,
    headers?: Readonly<Record<string, string | null>>,
  ): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly reason: string | null;
  readonly body: unknown;
}

/** An intake without state: it records its input and answers as the test sets. */
export class Recorder implements Intake {
  readonly ingested: Change[] = [];
  readonly parked: string[] = [];
  readonly origins: Origin[] = [];
  answer: (change: Change) => Promise<Outcome> = ({ kind }) =>
    Promise.resolve({ kind: kind === 'event' ? 'unwanted' : 'ingested' });

  ingest(each: Change): Promise<Outcome> {
    this.ingested.push(each);
    return this.answer(each);
  }

  park(origin: Origin, reason: string, detail: string): Promise<void> {
    this.origins.push(origin);
    this.parked.push(`${reason}: ${detail}`);
    return Promise.resolve();
  }

  explain(each: Change): ReturnType<Intake['explain']> {
    return Promise.resolve({ sets: [`of ${'stream' in each ? each.stream : each.table}`] });
  }
}

type Options = Partial<AppOptions> & Pick<IntakeOptions, 'tokens' | 'maxBytes' | 'schemas'>;
type Serve = (intake: Intake, options?: Options) => Promise<TestServer>;

/** `serve` starts a server that is closed at the test's end. */
export const test = base.extend<{ serve: Serve }>({
  serve: async ({}, use) => {
    const apps: FastifyInstance[] = [];
    await use(async (intake, { tokens, maxBytes, schemas, ...options } = {}) => {
      const counted: string[] = [];
      const logged: Record<string, unknown>[] = [];
      const logger = pino(
        { base: null, timestamp: false },
        { write: (line) => logged.push(JSON.parse(line)) },
      );
      const count = (name: string, labels: object) =>
        void counted.push([name, ...Object.values(labels)].join(' '));
      const app = createApp({ logger, count, ...options });
      apps.push(app);
      app.get('/health/liveness', () => 'alive');
      const limit = maxBytes === undefined ? {} : { maxBytes };
      registerIntake(app, intake, { count, tokens, schemas: schemas ?? null, ...limit });
      const url = await app.listen({ host: '127.0.0.1', port: 0 });
      logged.length = 0;
      const port = Number(new URL(url).port);
      return { app, port, counted, logged, post: (body, headers) => post(port, body, headers) };
    });
    for (const app of apps) {
      app.server.closeAllConnections();
      await app.close();
    }
  },
});

async function post(
  port: number,
  body: string | Uint8Array,
  changed: Readonly<Record<string, string | null>> = {},
): Promise<Answer> {
  const headers = new Headers({
    'ce-specversion': '1.0',
    'ce-id': 'partition:2/offset:7',
    'ce-source': '/apis/v1/namespaces/shop/kafkasources/orders-source#shop.public.orders',
    'ce-type': 'dev.knative.kafka.event',
    'ce-knativekafkapartition': '2',
    'ce-knativekafkaoffset': '7',
    prefer: 'reply',
  });
  for (const [name, value] of Object.entries(changed)) {
    if (value === null) headers.delete(name);
    else headers.set(name, value);
  }
  return answerOf(
    await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body: Buffer.from(body) }),
  );
}

export async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  const json = response.headers.get('content-type')?.startsWith('application/json') === true;
  const body: unknown = text === '' ? null : json ? JSON.parse(text) : text;
  return { status: response.status, reason: response.headers.get('kne-reason'), body };
}

/** Writes these bytes to a new connection and reads until the server ends it. */
export async function speak(port: number, ...parts: (string | Uint8Array)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  for (const part of parts) socket.write(part);
  return heard(socket);
}

/** Everything that the server sends until it ends the connection. */
export async function heard(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => {});
  if (!socket.destroyed) await once(socket, 'close');
  return text;
}
