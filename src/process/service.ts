import { pingsArePart } from '../intake/http/ping.ts';
import type { Logger } from 'pino';
import { misspeltSettings, type Config } from '../config/config.ts';
import { isProjection, isSetFunction } from '../definitions/load-functions.ts';
import { specify } from '../definitions/specification.ts';
import { eventTypesOf, tablesOf } from '../definitions/streams.ts';
import type { Definition, FunctionDefinition } from '../function.ts';
import type { Count } from '../intake/http-error.ts';
import { CleanUp } from '../lib/clean-up.ts';
import { didYouMean } from '../lib/similar-name.ts';
import type { Schemas } from '../schemas/schemas.ts';
import { catchStrayErrors } from '../runs/stray-errors.ts';
import type { ChangeIngestor } from '../state/ingest/change-ingestor.ts';
import { Unavailable } from '../state/outcome.ts';
import { Superseded } from '../state/registration/register.ts';
import { waitUntilReady } from '../state/wait-until-ready.ts';
import { startEngine, type Engine } from './engine.ts';
import type { Pull } from './wal-intake.ts';
import {
  loadProcessMetrics,
  loadSchemas,
  loadServer,
  loadTelemetry,
  loadTokens,
} from './load-parts.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { startProjections, type Projections } from './projections.ts';
import { Relief } from './relief.ts';
import type { Services } from './server.ts';
import { subscriptionsOf, type Subscription } from './subscriptions.ts';
import type { WarmConnection } from './warm-connection.ts';

/** Delay of work that the event which woke this process must not wait for. */
const AFTER_START_MS = 1_000;

type Labels = Parameters<Count>[1];

/** The HTTP side of a service. */
interface Endpoint {
  /** Adds the routes. Idempotent. */
  prepare(): Promise<unknown>;
  /** Listens, and resolves with the URL. Idempotent. */
  listen(): Promise<string>;
}

/** Service starts all parts of one process, and ends them in reverse order. */
export class Service {
  readonly #config: Config;
  readonly #definitions: readonly Definition[];
  readonly #functions: readonly FunctionDefinition[];
  readonly #subscriptions: readonly Subscription[] | null;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #relief: Relief;
  readonly #parts = new CleanUp();
  /** Resolves when {@link stop} is called. */
  readonly #stopping = Promise.withResolvers<string>();
  #pull: Pull | null = null;
  #schemas: Schemas | null = null;
  #drainMs = 0;
  #isStopping = false;

  /** Throws `ConfigError` if the functions can't be served with this configuration. */
  constructor(config: Config, definitions: readonly Definition[], log: Logger) {
    this.#config = config;
    this.#definitions = definitions;
    this.#functions = definitions.filter(isSetFunction);
    this.#subscriptions = subscriptionsOf(config, definitions, log);
    this.#log = log;
    const names = this.#functions.map(({ name }) => name);
    this.#metrics = createMetrics({
      sets: names,
      pulled: (this.#subscriptions ?? []).map(({ name }) => name),
    });
    this.#relief = new Relief(this.#functions);
  }

  /** Resolves when the process serves. */
  async start(stopped: Promise<string>, opening: WarmConnection | undefined): Promise<void> {
    const config = this.#config;
    const log = this.#log;
    this.#catchStrayErrors();
    const stop = Promise.race([stopped, this.#stopping.promise]);
    const untilReady = <T>(start: () => Promise<T>) =>
      waitUntilReady(start, (fields, why) => log.warn(fields, why), stop);

    this.#schemas = await loadSchemas(config, log);
    // These start concurrently: while the database answers, the others load.
    const telemetry = this.#own(
      () => loadTelemetry(config, this.#metrics, log),
      (each) => each?.stop(),
    );
    const server = this.#own(
      () => loadServer(config, log, this.#count),
      ({ app }) => app.close(),
    );
    const endpoint = this.#endpointOn(server);
    const opened = [opening]; // for the first attempt
    const engine = this.#own(
      () => untilReady(() => this.#startEngine(opened.pop(), endpoint, stop)),
      (each) => each.stop(this.#drainMs),
    );
    await Promise.all([engine, server, telemetry]);
    const { ingestor, warm } = await engine;
    this.#relief.start(await engine);
    const projections = await this.#own(
      () => untilReady(() => startProjections(config, this.#definitions.filter(isProjection), log)),
      (each) => each.stop(),
    );
    await this.#startKafka(ingestor, projections);
    await this.#startWal(ingestor);
    await Promise.all([endpoint.prepare(), warm]);
    const url = await endpoint.listen();
    log.info({ url, functions: this.#definitions.map((each) => each.name) }, 'serving');
    setTimeout(() => this.#afterStart(), AFTER_START_MS).unref();
  }

  /** Ends all parts. `drainMs` is the grace period for running handlers. */
  async stop(drainMs: number): Promise<void> {
    this.#isStopping = true;
    this.#drainMs = drainMs;
    this.#stopping.resolve('this process is stopping');
    this.#relief.refuse(new Unavailable('draining', 'this process is stopping'));
    await this.#parts[Symbol.asyncDispose]();
  }

  #afterStart(): void {
    void loadProcessMetrics();
    for (const warning of misspeltSettings(process.env)) this.#log.warn({}, warning);
  }

  readonly #count: Count = (name, labels) => {
    this.#reportIgnored(name, labels);
    (this.#metrics[name] as { inc(labels: object): void }).inc(labels);
  };

  /** Logs the first event of a type, and the first change of a table, that no function names. */
  #reportIgnored(name: Parameters<Count>[0], { type = '', table = '' }: Labels): void {
    const why = 'are ignored: no function that is served here names it';
    const specifications = () => this.#functions.map(specify);
    if (name === 'unwantedTypes' && this.#metrics.unwantedTypes.isNew(type)) {
      const meant = didYouMean(type, eventTypesOf(specifications()));
      this.#log.warn({ type }, `events of this type ${why}${meant}`);
    }
    if (name === 'unwantedTables' && this.#metrics.unwantedTables.isNew(table)) {
      const meant = didYouMean(table, tablesOf(specifications()));
      this.#log.warn({ table }, `changes of this table ${why}${meant}`);
    }
  }

  #catchStrayErrors(): void {
    catchStrayErrors({
      log: this.#log,
      count: (kind, owner) => this.#metrics.strayErrors.inc({ kind, function: owner ?? '' }),
      onFatal: () => process.exit(1),
    });
  }

  /** Starts the engine. If workers of another release serve, it listens first and relieves them. */
  async #startEngine(
    opening: WarmConnection | undefined,
    endpoint: Endpoint,
    stop: Promise<unknown>,
  ): Promise<Engine> {
    const log = this.#log;
    const relieve = async () => {
      const url = await endpoint.listen();
      log.info({ url }, 'ready to relieve the workers of another release');
      await this.#relief.isDue(stop);
    };
    try {
      return await startEngine(this.#config, this.#functions, log, this.#metrics, opening, relieve);
    } catch (error) {
      if (error instanceof Superseded) {
        this.#relief.refuse(new Unavailable('superseded', error.message));
      }
      throw error;
    }
  }

  /** Starts to read from Kafka if so configured. Only then is kafkajs loaded. */
  async #startKafka(ingestor: ChangeIngestor, projections: Projections): Promise<void> {
    const subscriptions = this.#subscriptions;
    if (subscriptions === null) return;
    this.#pull = await this.#own(
      async () => {
        const { startKafkaIntakes } = await import('./kafka-intake.ts');
        this.#requireStarting();
        return startKafkaIntakes({
          config: this.#config,
          subscriptions,
          ingestor,
          projections,
          log: this.#log,
          metrics: this.#metrics,
          count: this.#count,
          schemas: this.#schemas,
        });
      },
      (each) => each.stop(),
    );
  }

  /** Starts to read the log of the source if so configured. */
  async #startWal(ingestor: ChangeIngestor): Promise<void> {
    if (this.#config.INTAKE !== 'wal') return;
    this.#pull = await this.#own(
      async () => {
        const { startWalIntake } = await import('./wal-intake.ts');
        this.#requireStarting();
        return startWalIntake({
          config: this.#config,
          functions: this.#functions,
          ingestor,
          log: this.#log,
          metrics: this.#metrics,
          count: this.#count,
        });
      },
      (each) => each.stop(),
    );
  }

  #endpointOn(server: ReturnType<typeof loadServer>): Endpoint {
    const { HOST: host, PORT: port } = this.#config;
    const hasFunctions = this.#functions.length > 0;
    const prepare = once(async () => {
      const { app, addRoutes } = await server;
      const tokens = hasFunctions ? await loadTokens(this.#config, this.#log) : undefined;
      addRoutes(app, this.#count, { ...this.#services(), tokens });
      await app.ready();
      return app;
    });
    const listen = once(async () => {
      const app = await prepare();
      this.#requireStarting();
      return app.listen({ host, port });
    });
    return { prepare, listen };
  }

  #services(): Omit<Services, 'tokens'> {
    const relief = this.#relief;
    return {
      metrics: this.#metrics,
      processMetrics: loadProcessMetrics,
      instance: this.#config.INSTANCE_ID,
      unready: () =>
        this.#isStopping ? 'this process is stopping' : (relief.unready() ?? this.#pullTrouble()),
      trouble: () =>
        [relief.sinkTrouble(), this.#schemas?.trouble].filter(Boolean).join('; ') || null,
      schemas: this.#schemas,
      untilIdle: (withinMs) => relief.untilIdle(withinMs),
      pingsArePart: pingsArePart(this.#functions),
      intake: this.#functions.length > 0 ? relief : null,
      maxBytes: this.#config.QUEUE_MIB * 1024 * 1024,
    };
  }

  /** Why records are not read; named with the schema registry if they wait for it. */
  #pullTrouble(): string | null {
    const why = this.#pull?.trouble() ?? null;
    const cause = this.#schemas?.trouble ?? null;
    return why === null || cause === null ? why : `${why}: ${cause}`;
  }

  /** Starts a part that `stop` ends, even if it finishes starting only after `stop` was called. */
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

/** Returns a function that does the work at its first call and returns the same promise at every call. */
function once<T>(work: () => Promise<T>): () => Promise<T> {
  let begun: Promise<T> | undefined;
  return () => (begun ??= work());
}
