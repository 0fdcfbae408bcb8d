import type { Kafka } from 'kafkajs';
import type { Log } from '../../function.ts';
import { errorText } from '../../lib/error-text.ts';
import { withTimeout } from '../../lib/timeout.ts';
import { KafkaSession, type SessionOptions } from './session.ts';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export interface KafkaIntakeOptions extends Omit<SessionOptions, 'kafka'> {
  /** Creates a new client: after a crash the caches of the old one may be outdated. */
  readonly connect: () => Kafka;
  /** Grace period for chunks in progress at a stop. */
  readonly drainMs: number;
  readonly log: Log;
}

/**
 * KafkaIntake pulls the records of a function's topics as a member of a consumer group until it is stopped. If the
 * membership ends (no broker, a missing topic) it joins again, with growing waits.
 */
export class KafkaIntake {
  readonly #options: KafkaIntakeOptions;
  readonly #stopping = new AbortController();
  #session: KafkaSession | null = null;
  #trouble: string | null = null;
  readonly #ended: Promise<void>;

  constructor(options: KafkaIntakeOptions) {
    this.#options = options;
    this.#ended = this.#run();
  }

  /** Why nothing is read, or not all partitions; null if all are read. */
  get trouble(): string | null {
    return this.#trouble ?? this.#session?.trouble ?? null;
  }

  /** Starts no more chunks, waits for those in progress, commits, and leaves the group. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await withTimeout(this.#ended, this.#options.drainMs);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const stopped = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    for (let wait = FIRST_WAIT_MS; !signal.aborted; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      const began = performance.now();
      let session: KafkaSession | null = null;
      try {
        session = new KafkaSession({ ...this.#options, kafka: this.#options.connect() });
        this.#session = session;
        await Promise.race([session.run(), stopped]);
      } catch (error) {
        this.#trouble = `Kafka: ${errorText(error)}`;
        const { group, log } = this.#options;
        log.warn({ group, error: errorText(error) }, 'reading from Kafka ended, trying again');
      }
      await session?.stop();
      this.#session = null;
      if (signal.aborted) return;
      if (performance.now() - began > LONGEST_WAIT_MS) wait = FIRST_WAIT_MS;
      await withTimeout(stopped, wait);
      this.#trouble = null;
    }
  }
}
