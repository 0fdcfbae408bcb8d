import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { WalIntake } from '../../src/intake/wal/intake.ts';
import { formatLsn } from '../../src/intake/wal/lsn.ts';
import { followTables } from '../../src/local/follow-tables.ts';
import { Courier } from './courier.ts';

export interface DirectPipelineOptions {
  /** The database with `datastore.signal`. */
  readonly url: string;
  /** A connection to it. */
  readonly client: pg.Client;
  /** The function's address and readiness. */
  readonly fn: { readonly address: string; readonly ready: Promise<void> };
  readonly say: (line: string) => void;
}

/** Name of the replication slot and of the publication. */
const SLOT = 'muster_demo';
/** Name of the source of the rows: that of Debezium's connector (dev/stack/connector.ts). */
const SOURCE = 'postgres';

/**
 * The pipeline from the table to the function without Kafka. Reads the source's log as Muster does with `INTAKE=wal`; the
 * slot is acknowledged only below the oldest change that is not answered, so a kill of any process loses nothing.
 */
export class DirectPipeline {
  readonly #client: pg.Client;
  readonly #courier: Courier;
  readonly #intake: WalIntake;
  readonly #started = Promise.withResolvers<void>();
  #hasStarted = false;
  #isStopping = false;

  private constructor({ url, client, fn, say }: DirectPipelineOptions) {
    this.#client = client;
    this.#courier = new Courier(fn, say);
    this.#intake = followTables({
      url,
      slot: SLOT,
      source: SOURCE,
      tables: ['datastore.signal'],
      deliver: (change) => this.#courier.deliver(change),
      say,
      onTrouble: (why) => {
        if (this.#hasStarted) say(`${why}; trying again`);
        else this.#started.reject(new Error(why));
      },
      onReading: () => {
        this.#hasStarted = true;
        this.#started.resolve();
      },
    });
  }

  /** Resolves when the rows of before are delivered and changes are read. */
  static async start(options: DirectPipelineOptions): Promise<DirectPipeline> {
    const pipeline = new DirectPipeline(options);
    try {
      await pipeline.#started.promise;
    } catch (error) {
      await pipeline.stop();
      throw error;
    }
    return pipeline;
  }

  /** The number of events that were answered for good. */
  get delivered(): number {
    return this.#courier.delivered;
  }

  /** The number of events that are not answered yet. */
  get lag(): number {
    return this.#courier.lag;
  }

  /** Resolves when everything below this position is delivered and acknowledged. */
  async caughtUp(position: bigint): Promise<void> {
    const lsn = formatLsn(position);
    while (!this.#isStopping) {
      const { rowCount } = await this.#client.query(
        'select from pg_replication_slots where slot_name = $1 and confirmed_flush_lsn >= $2',
        [SLOT, lsn],
      );
      if (rowCount === 1) return;
      await sleep(50);
    }
  }

  /** Events that are not delivered are sent again after the next start. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#courier.stop();
    await this.#intake.stop();
  }
}
