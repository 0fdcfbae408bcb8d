import { readConfig, type Config } from '../../src/config/config.ts';
import { startEngine, type Engine } from '../../src/process/engine.ts';
import type { FunctionDefinition, Log } from '../../src/function.ts';
import type { SchemaDecoder } from '../../src/intake/debezium/decode-framed.ts';
import { createApp } from '../../src/intake/http/app.ts';
import { registerIntake } from '../../src/intake/http/routes.ts';
import type { Count } from '../../src/intake/http-error.ts';
import { pingsArePart, registerPing } from '../../src/intake/http/ping.ts';
import { createMetrics, type Metrics } from '../../src/process/metrics.ts';
import type { TestDatabase } from './test.ts';

export interface TestEngine extends Engine {
  readonly metrics: Metrics;
  /** The log lines with their level, message and fields. */
  readonly lines: { level: string; message: string; [field: string]: unknown }[];
}

/** Starts an engine on the test's database, with short intervals. The test must stop it. */
export async function engineOn(
  db: TestDatabase,
  definitions: readonly FunctionDefinition<never, never>[] | readonly FunctionDefinition[],
  settings: Record<string, string> = {},
): Promise<TestEngine> {
  const metrics = createMetrics();
  const lines: TestEngine['lines'] = [];
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, ...fields });
  const log: Log = { info: write('info'), warn: write('warn'), error: write('error') };
  const engine = await startEngine(
    configOn(db, settings),
    definitions as readonly FunctionDefinition[],
    log,
    metrics,
  );
  return { ...engine, metrics, lines };
}

/** Configuration for the test's database, with short intervals. */
export function configOn(db: TestDatabase, settings: Record<string, string> = {}): Config {
  return readConfig({
    DATABASE_URL: db.url,
    DRAIN_SECONDS: '2',
    DEADLINE_GRACE_SECONDS: '0',
    ...settings,
  });
}

/** Starts an engine behind a real HTTP server on a free port. The test must stop it. */
export async function serverOn(
  db: TestDatabase,
  definitions: Parameters<typeof engineOn>[1],
  settings: Record<string, string> = {},
  schemas: SchemaDecoder | null = null,
): Promise<TestEngine & { readonly url: string }> {
  const engine = await engineOn(db, definitions, settings);
  const count = (name: Parameters<Count>[0], labels: object) =>
    (engine.metrics[name] as { inc(labels: object): void }).inc(labels);
  const app = createApp({
    count,
    requestTimeoutMs: Number(settings['REQUEST_TIMEOUT_SECONDS'] ?? 60) * 1000,
  });
  registerPing(app, {
    count,
    arePart: pingsArePart(definitions as readonly FunctionDefinition[]),
    whenIdle: (withinMs) => engine.untilIdle(withinMs),
  });
  registerIntake(app, engine.ingestor, {
    count,
    schemas,
    maxBytes: Number(settings['QUEUE_MIB'] ?? 64) * 1024 * 1024,
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    ...engine,
    url,
    async stop() {
      await engine.stop();
      await app.close();
    },
  };
}
