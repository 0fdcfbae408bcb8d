import { setImmediate as turn } from 'node:timers/promises';
import { pino, type Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Config } from '../config/config.ts';
import { startEngine } from './engine.ts';
import type { Definition } from '../function.ts';
import { isSetFunction, isProjection } from '../definitions/load-functions.ts';
import type { Count } from '../intake/http-error.ts';
import type { Tokens } from '../intake/http/token.ts';
import { createLog } from '../telemetry/log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { WarmConnection } from './warm-connection.ts';
import { waitUntilReady, type ReportWait } from '../state/database/wait-until-ready.ts';
import { subscriptionsOf } from './subscriptions.ts';
import { startProjections } from './projections.ts';
import { catchStrayErrors } from '../runs/stray-errors.ts';
import { stopRequested } from '../lib/stop.ts';
import { withTimeout } from '../lib/timeout.ts';
import type { Telemetry } from '../telemetry/otel-sdk.ts';
import { signalsOf } from '../telemetry/trace.ts';

/** After the event that woke this process, which would wait for it. */
const PROCESS_METRICS_MS = 1_000;

let loaded: Promise<Registry> | undefined;
const processMetrics = () =>
  (loaded ??= import('../telemetry/process-metrics.ts').then((module) =>
    module.collectProcessMetrics(),
  ));

/** After a start that failed, what was started ends within this time, or with the process. */
const FAILED_START_MS = 800;

/**
 * Serves functions: starts the engine, listens. At a stop: not ready, 503 for new events, answers for
 * those it has, runs ended or given back. Resolves when all of that is done, rejects where the start
 * failed. `opening` is the database and `stopped` the request to stop, where somebody has begun with them.
 */
export async function serve(
  config: Config,
  definitions: readonly Definition[],
  opening?: WarmConnection,
  stopped: Promise<string> = stopRequested(config.EXIT_WITH_STDIN === '1'),
): Promise<void> {
  const log = createLog(config.LOG_LEVEL, pino.destination({ dest: 2, sync: true }));
  const service = new Service(config, log);
  // A stop during the start ends what has been started so far, too.
  const starting = service.start(definitions, stopped, opening);
  try {
    const reason = await Promise.race([starting.then(() => stopped), stopped]);
    log.info({ reason }, 'stopping');
  } catch (error) {
    await withTimeout(service.stop(0), FAILED_START_MS).catch(() => {});
    throw error;
  }
  // With the database away nothing can be given back; leases end by themselves.
  setTimeout(() => process.exit(1), (config.DRAIN_SECONDS + 10) * 1000).unref();
  await service.stop(config.DRAIN_SECONDS * 1000);
  log.info({}, 'stopped');
}

/** All that one process starts, and ends in the opposite order. */
class Service {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #parts = new AsyncDisposableStack();
  /** Resolves when {@link stop} is called. */
  readonly #stopping = Promise.withResolvers<string>();
  #drainMs = 0;
  #isStopping = false;

  constructor(config: Config, log: Logger) {
    this.#config = config;
    this.#log = log;
  }

  async start(
    definitions: readonly Definition[],
    stopped: Promise<string>,
    opening: WarmConnection | undefined,
  ): Promise<void> {
    const config = this.#config;
    const log = this.#log;
    const ofSets = definitions.filter(isSetFunction);
    const subscriptions = subscriptionsOf(config, definitions, log);
    const metrics = createMetrics({
      sets: ofSets.map(({ name }) => name),
      pulled: (subscriptions ?? []).map(({ name }) => name),
    });
    const stray = (kind: 'rejection' | 'exception', owner: string | null) =>
      metrics.strayErrors.inc({ kind, function: owner ?? '' });
    catchStrayErrors({ log, count: stray, onFatal: () => process.exit(1) });
    const count: Count = (name, labels) =>
      (metrics[name] as { inc(labels: object): void }).inc(labels);
    const waiting = Promise.race([stopped, this.#stopping.promise]);
    const say: ReportWait = (fields, why) => log.warn(fields, why);
    const begun = [opening];

    // All at once: while the database answers, the others load.
    const telemetry = this.#own(
      () => loadTelemetry(config, metrics, log),
      (each) => each?.stop(),
    );
    const server = this.#own(
      () => openServer(config, log, count),
      ({ app }) => app.close(),
    );
    const engine = this.#own(
      () =>
        waitUntilReady(() => startEngine(config, ofSets, log, metrics, begun.pop()), say, waiting),
      (each) => each.stop(this.#drainMs),
    );
    await Promise.all([engine, server, telemetry]);
    const projections = await this.#own(
      () =>
        waitUntilReady(
          () => startProjections(config, definitions.filter(isProjection), log),
          say,
          waiting,
        ),
      (each) => each.stop(),
    );
    const running = await engine;
    const { ingestor } = running;
    // kafkajs is loaded by those alone that pull
    const pulling =
      subscriptions &&
      (await this.#own(
        async () => {
          const { startPulling } = await import('./kafka-intake.ts');
          this.#requireStarting();
          return startPulling({
            config,
            subscriptions,
            ingestor,
            projections,
            log,
            metrics,
            count,
          });
        },
        (each) => each.stop(),
      ));
    const { app, addRoutes } = await server;
    addRoutes(app, count, {
      metrics,
      processMetrics,
      instance: config.INSTANCE_ID,
      unready: () =>
        this.#isStopping
          ? 'this process is stopping'
          : (running.unready() ?? pulling?.trouble() ?? null),
      sinkTrouble: () => running.sinkTrouble(),
      whenIdle: (withinMs) => running.whenIdle(withinMs),
      intake: ofSets.length > 0 ? ingestor : null,
      tokens: ofSets.length > 0 ? await openTokens(config, log) : undefined,
      maxBytes: config.QUEUE_MIB * 1024 * 1024,
    });
    await Promise.all([app.ready(), running.warm]);
    this.#requireStarting();
    const url = await app.listen({ host: config.HOST, port: config.PORT });
    log.info({ url, functions: definitions.map((each) => each.name) }, 'serving');
    setTimeout(() => void processMetrics(), PROCESS_METRICS_MS).unref();
  }

  /** Ends all parts; runs under way may take this time. */
  async stop(drainMs: number): Promise<void> {
    this.#isStopping = true;
    this.#drainMs = drainMs;
    this.#stopping.resolve('this process is stopping');
    await this.#parts.disposeAsync();
  }

  /** Starts a part, and ends it with the others: also if it is through only then. */
  #own<T>(start: () => Promise<T>, end: (part: T) => unknown): Promise<T> {
    this.#requireStarting();
    const part = start();
    this.#parts.defer(async () => {
      const started = await part.then(
        (value) => ({ value }),
        () => null,
      );
      if (started !== null) await end(started.value);
    });
    return part;
  }

  #requireStarting(): void {
    if (this.#isStopping) throw new Error('this process is stopping');
  }
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
  const { startTelemetry } = await import('../telemetry/otel-sdk.ts');
  return startTelemetry(process.env, config.OTEL_SERVICE_NAME, registry, log);
}

/** Who may post, as configured; undefined: anybody. */
async function openTokens(config: Config, log: Logger): Promise<Tokens | undefined> {
  const { OIDC_ISSUER: url, OIDC_AUDIENCE: audience, OIDC_SUBJECTS: subjects } = config;
  if (url === null || audience === null) {
    log.warn({}, 'whoever reaches this process may post events: OIDC_ISSUER is not set');
    return undefined;
  }
  const [{ Issuer }, { Tokens }] = await Promise.all([
    import('../intake/http/issuer.ts'),
    import('../intake/http/token.ts'),
  ]);
  const { OIDC_CA_FILE: caFile, OIDC_TOKEN_FILE: tokenFile } = config;
  const issuer = new Issuer({ url, caFile, tokenFile });
  // Now rather than with the first event, which would wait for it.
  issuer.keys().catch((error: Error) => {
    log.warn({ error: error.message }, 'the issuer of tokens does not tell its keys yet');
  });
  return new Tokens({ issuer, url, audience, subjects });
}
