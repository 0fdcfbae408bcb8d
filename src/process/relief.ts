import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from './engine.ts';
import type { Intake } from '../intake/ingest.ts';
import { Unavailable } from '../state/outcome.ts';
import { Superseded } from '../state/registration/register.ts';

/** Readiness is probed every 2 s (knative/base), and endpoints follow within a second or two. */
const KNOWN_AFTER_MS = 5_000;
/** A KafkaSource waits 30 s for an answer; a database that went away meanwhile must not hold it. */
const HOLD_MS = 10_000;

/**
 * Stands where the engine will be, while this process is ready to relieve the workers of another release
 * and they still serve. Events that arrive are held until the engine has started: state/announce.ts says
 * why.
 */
export class Relief implements Intake {
  readonly functions: readonly string[];
  readonly #knownAfterMs: number;
  readonly #holdMs: number;
  #arrived = Promise.withResolvers<void>();
  #started = startOf();
  #engine: Engine | null = null;
  #refusal: Unavailable | null = null;

  constructor(functions: readonly string[], knownAfterMs = KNOWN_AFTER_MS, holdMs = HOLD_MS) {
    this.functions = functions;
    this.#knownAfterMs = knownAfterMs;
    this.#holdMs = holdMs;
  }

  /**
   * Resolves when the cluster sends events to this process: with the first of them, or after the time it
   * takes to know that this process is ready. Throws {@link Unavailable} at a stop.
   */
  async isDue(stopped: Promise<unknown>): Promise<void> {
    this.#refusal = null;
    const stop = stopped.then(() => {
      throw new Unavailable('draining', 'this process is stopping');
    });
    const known = sleep(this.#knownAfterMs, undefined, { ref: false });
    await Promise.race([this.#arrived.promise, known, stop]);
  }

  /** Refuses events with the reason where the engine does not start because another release is to serve. */
  async over(starting: Promise<Engine>): Promise<Engine> {
    try {
      return await starting;
    } catch (error) {
      if (error instanceof Superseded) this.refuse(new Unavailable('superseded', error.message));
      throw error;
    }
  }

  start(engine: Engine): void {
    this.#engine = engine;
    this.#refusal = null;
    this.#started.resolve(engine);
  }

  /** Until the next relief no engine will start: whoever waits for it, and whoever comes, is told. */
  refuse(reason: Unavailable): void {
    this.#refusal = reason;
    this.#started.reject(reason);
    this.#started = startOf();
    this.#arrived = Promise.withResolvers<void>();
  }

  /** Why this process should get no events; null when it should. */
  unready(): string | null {
    if (this.#engine !== null) return this.#engine.unready();
    return this.#refusal?.message ?? null;
  }

  sinkTrouble(): string | null {
    return this.#engine?.sinkTrouble() ?? null;
  }

  async settle(withinMs: number): Promise<void> {
    await (await this.#running()).settle(withinMs);
  }

  ingest: Intake['ingest'] = (change) =>
    this.#engine === null
      ? this.#running().then(({ ingestor }) => ingestor.ingest(change))
      : this.#engine.ingestor.ingest(change);

  park: Intake['park'] = async (...event) => (await this.#running()).ingestor.park(...event);

  explain: Intake['explain'] = async (change) => (await this.#running()).ingestor.explain(change);

  /** The engine, now or soon; rejects with {@link Unavailable}. */
  #running(): Promise<Engine> {
    if (this.#engine !== null) return Promise.resolve(this.#engine);
    if (this.#refusal !== null) return Promise.reject(this.#refusal);
    this.#arrived.resolve();
    const late = sleep(this.#holdMs, null, { ref: false }).then(() => {
      throw new Unavailable('database', 'this process still registers its definitions');
    });
    return Promise.race([this.#started.promise, late]);
  }
}

function startOf(): PromiseWithResolvers<Engine> {
  const start = Promise.withResolvers<Engine>();
  start.promise.catch(() => {}); // nobody may be waiting
  return start;
}
