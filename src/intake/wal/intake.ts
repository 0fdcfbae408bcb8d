import type { Log } from '../../function.ts';
import { withTimeout } from '../../lib/timeout.ts';
import { waitAfter } from '../../lib/retry.ts';
import { type SessionOptions, WalSession } from './session.ts';
import { explainSourceError, isTaken } from './source-error.ts';

const BACKOFF = { attempts: Infinity, firstMs: 500, maxMs: 10_000 };
/** How often a process that waits for the slot tries to take it, with jitter. */
const TAKEN_MS = 2_000;

export interface WalIntakeOptions extends SessionOptions {
  /** Why this process ingests nothing any more, so that it must leave the slot to others; null if it does. */
  readonly closed: () => string | null;
  /** Grace period for changes in progress at a stop. */
  readonly drainMs: number;
  readonly log: Log;
  /** Whether this process reads the slot. */
  readonly onReading: (isReading: boolean) => void;
}

/**
 * WalIntake reads the changes of tables from the log of their database. The slot is the lease: the server admits one
 * reader, and another process takes over when that is gone. If reading ends (the source restarts, or Muster's
 * database is away) it begins again at the acknowledged position, with growing waits.
 */
export class WalIntake {
  readonly #options: WalIntakeOptions;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;
  #session: WalSession | null = null;
  #trouble: string | null = null;
  #isWaiting = false;

  constructor(options: WalIntakeOptions) {
    this.#options = options;
    this.#ended = this.#run();
  }

  /** Why nothing is read; null if changes are read, here or by another process. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** Reads no more, acknowledges what is ingested, and leaves the slot to others. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const { drainMs } = this.#options;
    await withTimeout(this.#session?.stop() ?? Promise.resolve(), drainMs);
    await withTimeout(this.#ended, drainMs);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const stopped = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    for (let attempt = 1; !signal.aborted; attempt++) {
      const outcome = await this.#readOnce(() => (attempt = 0));
      if (signal.aborted) return;
      const wait =
        outcome === 'taken' ? TAKEN_MS * (0.5 + Math.random()) : waitAfter(attempt, BACKOFF)!;
      await withTimeout(stopped, wait);
    }
  }

  async #readOnce(onStarted: () => void): Promise<'taken' | 'ended'> {
    const { slot, log, closed, onReading } = this.#options;
    if (closed() !== null) return 'ended';
    const session = new WalSession(this.#options);
    this.#session = session;
    try {
      const outcome = await session.run({
        started: () => {
          onStarted();
          this.#trouble = null;
          this.#isWaiting = false;
          onReading(true);
          log.info({ slot }, 'reading changes from the log of the source');
        },
        heldBack: (why) => {
          if (why !== null && this.#trouble !== why) {
            log.warn({ slot, error: why }, 'the source sends no changes');
          }
          this.#trouble = why;
        },
      });
      return outcome === 'taken' ? this.#wait() : 'ended';
    } catch (error) {
      if (this.#stopping.signal.aborted) return 'ended';
      if (isTaken(error)) return this.#wait();
      const why = explainSourceError(error);
      if (this.#trouble !== why) {
        log.warn({ slot, error: why }, 'reading from the source ended, trying again');
      }
      this.#trouble = why;
      return 'ended';
    } finally {
      this.#session = null;
      onReading(false);
    }
  }

  #wait(): 'taken' {
    this.#trouble = null;
    if (!this.#isWaiting) {
      const { slot, log } = this.#options;
      log.info({ slot }, 'another process reads the slot, waiting to take over');
    }
    this.#isWaiting = true;
    return 'taken';
  }
}
