import { setTimeout as sleep } from 'node:timers/promises';
import { specify } from '../definitions/specification.ts';
import { recordTopicsOf } from '../definitions/streams.ts';
import type { FunctionDefinition } from '../function.ts';
import type { Engine } from './engine.ts';
import type { Intake } from '../intake/ingest.ts';
import { Unavailable } from '../state/outcome.ts';

/** Readiness is probed every 2 s (knative/base), and endpoints are updated within a second or two. */
const KNOWN_AFTER_MS = 5_000;
/** A KafkaSource waits 30 s for an answer. An event must not wait that long for an unavailable database. */
const HOLD_MS = 10_000;

/**
 * Relief stands in for the engine while this process is ready to relieve the workers of another release, which
 * still serve. It holds the events that arrive until the engine has started; state/registration/announce.ts
 * explains why.
 */
export class Relief implements Intake {
  readonly functions: readonly string[];
  readonly recordTopics: ReadonlySet<string>;
  readonly #knownAfterMs: number;
  readonly #holdMs: number;
  #arrived = Promise.withResolvers<void>();
  #started = startOf();
  #engine: Engine | null = null;
  #refusal: Unavailable | null = null;

  constructor(
    functions: readonly FunctionDefinition[],
    knownAfterMs = KNOWN_AFTER_MS,
    holdMs = HOLD_MS,
  ) {
    this.functions = functions.map(({ name }) => name);
    this.recordTopics = new Set(recordTopicsOf(functions.map(specify)));
    this.#knownAfterMs = knownAfterMs;
    this.#holdMs = holdMs;
  }

  /**
   * Resolves when the cluster sends events to this process: at the first event, or after the time in which the
   * cluster learns that this process is ready. Throws {@link Unavailable} when `stopped` resolves.
   */
  async isDue(stopped: Promise<unknown>): Promise<void> {
    this.#refusal = null;
    const stop = stopped.then(() => {
      throw new Unavailable('draining', 'this process is stopping');
    });
    const known = sleep(this.#knownAfterMs, undefined, { ref: false });
    await Promise.race([this.#arrived.promise, known, stop]);
  }

  /** Passes the held events, and all later ones, to the engine. */
  start(engine: Engine): void {
    this.#engine = engine;
    this.#refusal = null;
    this.#started.resolve(engine);
  }

  /** Rejects the held events, and new ones until the next relief, because no engine will start before it. */
  refuse(reason: Unavailable): void {
    this.#refusal = reason;
    this.#started.reject(reason);
    this.#started = startOf();
    this.#arrived = Promise.withResolvers<void>();
  }

  /** Why this process must get no events; null if it may. */
  unready(): string | null {
    if (this.#engine !== null) return this.#engine.unready();
    return this.#refusal?.message ?? null;
  }

  sinkTrouble(): string | null {
    return this.#engine?.sinkTrouble() ?? null;
  }

  async untilIdle(withinMs: number): Promise<void> {
    await (await this.#running()).untilIdle(withinMs);
  }

  ingest: Intake['ingest'] = (change) =>
    this.#engine === null
      ? this.#running().then(({ ingestor }) => ingestor.ingest(change))
      : this.#engine.ingestor.ingest(change);

  park: Intake['park'] = async (...event) => (await this.#running()).ingestor.park(...event);

  explain: Intake['explain'] = async (change) => (await this.#running()).ingestor.explain(change);

  /** Resolves with the engine, once it has started. Throws {@link Unavailable}. */
  #running(): Promise<Engine> {
    if (this.#engine !== null) return Promise.resolve(this.#engine);
    if (this.#refusal !== null) return Promise.reject(this.#refusal);
    this.#arrived.resolve();
    const late = sleep(this.#holdMs, null, { ref: false }).then(() => {
      throw new Unavailable('database', 'this process is still registering its definitions');
    });
    return Promise.race([this.#started.promise, late]);
  }
}

function startOf(): PromiseWithResolvers<Engine> {
  const start = Promise.withResolvers<Engine>();
  start.promise.catch(() => {}); // there may be no waiting event
  return start;
}
