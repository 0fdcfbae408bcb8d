/** Parts of `muster serve` that are large, and are loaded on demand or while the database answers. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Config } from '../config/config.ts';
import { registryOptionsOf } from '../config/schema-registry.ts';
import type { Count } from '../intake/http-error.ts';
import type { Tokens } from '../intake/http/token.ts';
import type { Schemas } from '../schemas/schemas.ts';
import type { Telemetry } from '../telemetry/otel-sdk.ts';
import { signalsOf } from '../telemetry/trace.ts';
import type { Metrics } from './metrics.ts';

let processMetrics: Promise<Registry> | undefined;

/** Loads the metrics about the process itself, once. */
export function loadProcessMetrics(): Promise<Registry> {
  return (processMetrics ??= import('../telemetry/process-metrics.ts').then((module) =>
    module.collectProcessMetrics(),
  ));
}

/** Loads the HTTP server. Fastify is half of the code to load; the turns let answers of the database through. */
export async function loadServer(config: Config, log: Logger, count: Count) {
  await turn();
  const { addRoutes, createServer } = await import('./server.ts');
  await turn();
  return { app: createServer(config, log, count), addRoutes };
}

/** Loads OpenTelemetry, which is large, if the environment configures an endpoint; returns null otherwise. */
export async function loadTelemetry(
  config: Config,
  { registry }: Metrics,
  log: Logger,
): Promise<Telemetry | null> {
  const { traces, metrics } = signalsOf(process.env);
  if (!traces && !metrics) return null;
  const { startTelemetry } = await import('../telemetry/otel-sdk.ts');
  return startTelemetry(process.env, config.OTEL_SERVICE_NAME, registry, log);
}

/** Loads the decoder for data with a schema of a registry; returns null if none is configured. */
export async function loadSchemas(config: Config, log: Logger): Promise<Schemas | null> {
  const options = registryOptionsOf(config);
  if (options === null) return null;
  const [{ Registry }, { Schemas }] = await Promise.all([
    import('../schemas/registry.ts'),
    import('../schemas/schemas.ts'),
  ]);
  return new Schemas(new Registry(options), {
    onTrouble: ({ message }) =>
      log.warn({ error: message }, "the schema registry can't be used, events wait for it"),
  });
}

/** Loads the verification of senders as configured; returns undefined if anybody may post events. */
export async function loadTokens(config: Config, log: Logger): Promise<Tokens | undefined> {
  const { OIDC_ISSUER: url, OIDC_AUDIENCE: audience, OIDC_SUBJECTS: subjects } = config;
  if (url === null || audience === null) {
    log.warn({}, 'anybody who reaches this process may post events: OIDC_ISSUER is not set');
    return undefined;
  }
  const [{ Issuer }, { Tokens }] = await Promise.all([
    import('../intake/http/issuer.ts'),
    import('../intake/http/token.ts'),
  ]);
  const { OIDC_CA_FILE: caFile, OIDC_TOKEN_FILE: tokenFile } = config;
  const issuer = new Issuer({ url, caFile, tokenFile });
  // Fetched now, so that the first event does not wait for them.
  issuer.keys().catch((error: Error) => {
    log.warn({ error: error.message }, "the token issuer's keys can not be fetched yet");
  });
  return new Tokens({ issuer, url, audience, subjects });
}
