import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { errorText } from '../../lib/error-text.ts';
import type { Message } from '../debezium/envelope.ts';
import { NoTable, type SourceTable } from '../debezium/source-table.ts';
import { dropSlot, slotTables } from '../debezium/slot.ts';
import { startWal, type WalSource } from '../debezium/wal.ts';

export interface FollowOptions {
  /** URL of the database with the tables. */
  readonly url: string;
  /** Each as `schema.table`. */
  readonly tables: readonly string[];
  /** URL that events are posted to. */
  readonly sink: string;
  /** Whether the replication slot stays for the next start; otherwise all rows are read again then. */
  readonly keepsSlot: boolean;
  readonly say: (line: string) => void;
}

/** Name of the replication slot and of the publication. */
const SLOT = 'muster_dev';
const IN_FLIGHT = 16;
const RETRY_MS = 500;
/** Statuses of 400 and above with which a KafkaSource retries. */
const RETRIED = new Set([404, 408, 409, 429]);

/** Posts every change of some tables, read by logical replication, as Debezium and a KafkaSource would. */
export class SourceFollower {
  readonly #options: FollowOptions;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #wal: WalSource | null = null;
  #inFlight = 0;
  #sent = 0;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#running = this.#run().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) options.say(`the source: ${errorText(error)}`);
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#wal?.stop();
    if (!this.#options.keepsSlot) await dropSlot(this.#options.url, SLOT).catch(() => {});
  }

  async #run(): Promise<void> {
    const { url, tables, say } = this.#options;
    const known = await slotTables(url, SLOT);
    if (known !== null && known.join() !== tables.toSorted().join()) await dropSlot(url, SLOT);
    let waitsFor = '';
    for (;;) {
      try {
        this.#wal = await startWal({ url, tables, slot: SLOT, deliver: this.#deliver, say });
        break;
      } catch (error) {
        if (!(error instanceof NoTable)) throw explained(error);
        if (waitsFor !== error.message) say(`${error.message} yet; waiting for it`);
        waitsFor = error.message;
        await sleep(RETRY_MS, undefined, { signal: this.#stopping.signal });
      }
    }
    say(`following ${tables.join(', ')}`);
    const failure = await Promise.race([this.#wal.failed, aborted(this.#stopping.signal)]);
    if (failure !== null) throw failure;
  }

  readonly #deliver = async (message: Message, table: SourceTable) => {
    while (this.#inFlight >= IN_FLIGHT) {
      await sleep(5, undefined, { signal: this.#stopping.signal });
    }
    // a tombstone, which follows a delete
    if (message.value === null) return { delivered: Promise.resolve() };
    return { delivered: this.#post(message.value, table) };
  };

  /** Resolves once the event is accepted, or refused for good; rejects after a stop. */
  async #post(body: string, { schema, name }: SourceTable): Promise<void> {
    const { sink, say } = this.#options;
    const { signal } = this.#stopping;
    const headers = {
      'ce-specversion': '1.0',
      'ce-type': 'dev.knative.kafka.event',
      'ce-source': `/muster/dev/${schema}.${name}`,
      'ce-id': String((this.#sent += 1)),
    };
    this.#inFlight += 1;
    try {
      for (;;) {
        const answer = await fetch(sink, { method: 'POST', headers, body, signal }).catch(
          () => null,
        );
        const status = answer?.status ?? 0;
        const text = (await answer?.text().catch(() => '')) ?? '';
        if (status >= 400 && status < 500 && !RETRIED.has(status)) {
          say(`a change of ${schema}.${name} was refused: ${status} ${text}`);
          return;
        }
        if (status === 202) {
          say(`a change of ${schema}.${name} was parked: 'muster parked' shows why`);
        }
        if (status >= 200 && status < 300) return;
        await sleep(RETRY_MS, undefined, { signal });
      }
    } finally {
      this.#inFlight -= 1;
    }
  }
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(null)));
}

/** Adds what to do to errors of a source that is not prepared. */
function explained(error: unknown): unknown {
  const { code, message } = error as pg.DatabaseError;
  if (code === '55000' && message.includes('wal_level')) {
    return new Error(
      `${message}: run 'alter system set wal_level = logical', and restart its server`,
    );
  }
  if (code === '42501') {
    return new Error(
      `${message}: its user needs the attribute replication, and must own the tables`,
    );
  }
  return error;
}
