import { setTimeout as sleep } from 'node:timers/promises';
import { Malformed, Replication } from './replication.ts';
import { type Deliver, ensureSlot } from './snapshot.ts';
import type { SourceTables } from '../../intake/wal/source-table.ts';

export interface WalOptions {
  readonly url: string;
  /** Each as `schema.table`. */
  readonly tables: readonly string[];
  /** The name of the replication slot and of the publication. */
  readonly slot: string;
  readonly deliver: Deliver;
  /** Called when a connection is lost; the source then reconnects. */
  readonly say?: (line: string) => void;
}

/**
 * The change source without Kafka: turns PostgreSQL's logical replication (pgoutput) into the messages
 * that Debezium would write to the tables' topics. Delivers the rows of the tables (the first time), then
 * every change. The slot is acknowledged only up to the position below which everything is delivered, so
 * a kill of any process loses nothing, and some messages are sent twice.
 */
export async function startWal(options: WalOptions): Promise<WalSource> {
  const start = await ensureSlot(options.url, options.tables, options.slot, options.deliver);
  return new WalSource(options, start.tables, start.position);
}

export class WalSource {
  /** Resolves only if the source fails permanently. */
  readonly failed: Promise<Error>;
  readonly #fail: (error: Error) => void;
  readonly #options: WalOptions;
  readonly #tables: SourceTables;
  readonly #following: Promise<void>;
  #replication: Replication;
  #stopping = false;

  constructor(options: WalOptions, tables: SourceTables, position: bigint) {
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    this.#fail = resolve;
    this.#options = options;
    this.#tables = tables;
    this.#replication = new Replication(options, tables, position);
    this.#following = this.#follow();
  }

  /** The number of messages read from the log and not yet delivered. */
  get lag(): number {
    return this.#replication.lag;
  }

  /** The position below which everything is delivered. */
  get position(): bigint {
    return this.#replication.position;
  }

  /** Resolves when everything below this position is delivered. */
  async caughtUp(position: bigint): Promise<void> {
    while (!this.#stopping && this.position < position) {
      this.#replication.report(true);
      await sleep(20);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#replication.stop();
    await this.#following;
  }

  async #follow(): Promise<void> {
    for (;;) {
      const lost = await this.#replication.run();
      if (this.#stopping) return;
      if (lost instanceof Malformed) return this.#fail(lost);
      this.#options.say?.(`the replication connection was lost (${lost?.message}); reconnecting`);
      await sleep(500);
      if (this.#stopping) return;
      this.#replication = new Replication(this.#options, this.#tables, this.position);
    }
  }
}
