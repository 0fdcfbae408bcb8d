import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { pino, type Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Config } from './config.ts';
import { startEngine } from './engine.ts';
import type { Definition } from './function.ts';
import { isOfSets, isProjection } from './functions.ts';
import type { Count } from './intake/refusal.ts';
import type { Tokens } from './intake/token.ts';
import { createLog } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { Opening } from './opening.ts';
import { placesToPull } from './places.ts';
import { startProjections } from './projections.ts';
import { isUnmigrated, mayPass, unavailable } from './state/database.ts';
import { stopRequested } from './stop.ts';
import type { Telemetry } from './telemetry.ts';
import { signalsOf } from './trace.ts';

/** After the event that woke this process, which would wait for it. */
const PROCESS_METRICS_MS = 1_000;

let loaded: Promise<Registry> | undefined;
const processMetrics = () =>
  (loaded ??= import('./process-metrics.ts').then((module) => module.collectProcessMetrics()));

/**
 * Serves functions: starts the engine, listens. At SIGTERM or SIGINT (as PID 1 nothing else handles
 * them): not ready, 503 for new events, answers for those it has, runs ended or given back. Resolves
 * when all of that is done. `opening` is the database, where somebody has begun to open it.
 */
export async function serve(
  config: Config,
  definitions: readonly Definition[],
  opening?: Opening,
): Promise<void> {
  const log = createLog(config.LOG_LEVEL, pino.destination({ dest: 2, sync: true }));
  // From the first moment on: a signal that comes while the engine starts must not be lost.
  const stopped = stopRequested(config.EXIT_WITH_STDIN === '1');
  const ofSets = definitions.filter(isOfSets);
  const places = placesToPull(config, definitions, log);
  const metrics = createMetrics({
    sets: ofSets.map(({ name }) => name),
    pulled: (places ?? []).map(({ name }) => name),
  });
  const count: Count = (name, labels) =>
    (metrics[name] as { inc(labels: object): void }).inc(labels);
  const begun = [opening];
  // All at once: while the database answers, the others load.
  const [engine, { app, addRoutes }, telemetry] = await Promise.all([
    patiently(log, stopped, () => startEngine(config, ofSets, log, metrics, begun.pop())),
    openServer(config, log, count),
    loadTelemetry(config, metrics, log),
  ]);
  if (engine === null) return telemetry?.stop();
  const projections = await patiently(log, stopped, () =>
    startProjections(config, definitions.filter(isProjection), log),
  );
  if (projections === null) {
    await engine.stop();
    return telemetry?.stop();
  }

  const { filing } = engine;
  // kafkajs is loaded by those alone that pull
  const pulling =
    places &&
    (await import('./pulling.ts')).startPulling({
      config,
      places,
      filing,
      projections,
      log,
      metrics,
      count,
    });
  let isStopping = false;
  addRoutes(app, count, {
    metrics,
    processMetrics,
    instance: config.INSTANCE_ID,
    unready: () =>
      isStopping ? 'this process is stopping' : (engine.unready() ?? pulling?.trouble() ?? null),
    sinkTrouble: () => engine.sinkTrouble(),
    settle: (withinMs) => engine.settle(withinMs),
    intake: ofSets.length > 0 ? filing : null,
    tokens: ofSets.length > 0 ? await openTokens(config, log) : undefined,
    maxBytes: config.QUEUE_MIB * 1024 * 1024,
  });
  await Promise.all([app.ready(), engine.warm]);
  const url = await app.listen({ host: config.HOST, port: config.PORT });
  log.info({ url, functions: definitions.map((each) => each.name) }, 'serving');

  setTimeout(() => void processMetrics(), PROCESS_METRICS_MS).unref();

  const reason = await stopped;
  isStopping = true;
  log.info({ reason }, 'stopping');
  // With the database away nothing can be given back; leases end by themselves.
  setTimeout(() => process.exit(1), (config.DRAIN_SECONDS + 10) * 1000).unref();
  await pulling?.stop();
  await Promise.all([engine.stop(), projections.stop()]);
  await app.close();
  await telemetry?.stop();
  log.info({}, 'stopped');
}

/** Fastify is half of what there is to load; the turns let the database's answers be answered meanwhile. */
async function openServer(config: Config, log: Logger, count: Count) {
  await turn();
  const { addRoutes, createServer } = await import('./server.ts');
  await turn();
  return { app: createServer(config, log, count), addRoutes };
}

/** What OpenTelemetry needs is not small, so it is loaded only where something is to be sent. */
async function loadTelemetry(
  config: Config,
  { registry }: Metrics,
  log: Logger,
): Promise<Telemetry | null> {
  const { traces, metrics } = signalsOf(process.env);
  if (!traces && !metrics) return null;
  const { startTelemetry } = await import('./telemetry.ts');
  return startTelemetry(process.env, config.OTEL_SERVICE_NAME, registry, log);
}

/**
 * Starts something, again and again while the database does not answer or somebody has yet to migrate
 * it: a process that gave up instead would be restarted at ever longer intervals. Null if it was told to
 * stop meanwhile.
 */
async function patiently<T>(
  log: Logger,
  stopped: Promise<string>,
  start: () => Promise<T>,
): Promise<T | null> {
  for (;;) {
    try {
      return await start();
    } catch (error) {
      const why = isUnmigrated(error)
        ? "the state database is not at this release: 'muster migrate' brings it there; trying again"
        : 'the database does not answer, trying again';
      if (!mayPass(error) && !isUnmigrated(error)) throw error;
      log.warn({ error: unavailable(error).message }, why);
      if ((await Promise.race([sleep(1_000, null), stopped])) !== null) return null;
    }
  }
}

/** Who may post, as configured; undefined: anybody. */
async function openTokens(config: Config, log: Logger): Promise<Tokens | undefined> {
  const { OIDC_ISSUER: url, OIDC_AUDIENCE: audience, OIDC_SUBJECTS: subjects } = config;
  if (url === null || audience === null) {
    log.warn({}, 'whoever reaches this process may post events: OIDC_ISSUER is not set');
    return undefined;
  }
  const [{ Issuer }, { Tokens }] = await Promise.all([
    import('./intake/issuer.ts'),
    import('./intake/token.ts'),
  ]);
  const { OIDC_CA_FILE: caFile, OIDC_TOKEN_FILE: tokenFile } = config;
  const issuer = new Issuer({ url, caFile, tokenFile });
  // Now rather than with the first event, which would wait for it.
  issuer.keys().catch((error: Error) => {
    log.warn({ error: error.message }, 'the issuer of tokens does not tell its keys yet');
  });
  return new Tokens({ issuer, url, audience, subjects });
}
