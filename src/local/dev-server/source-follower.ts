import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { errorText } from '../../lib/error-text.ts';
import type { Message } from '../../intake/wal/envelope.ts';
import { NoTable, type SourceTable } from '../../intake/wal/source-table.ts';
import { dropSlot, leftSlots, slotTables } from '../debezium/slot.ts';
import { startWal, type WalSource } from '../debezium/wal.ts';

export interface FollowOptions {
  /** URL of the database with the tables. */
  readonly url: string;
  /** Each as `schema.table`. */
  readonly tables: readonly string[];
  /** URL that events are posted to. */
  readonly sink: string;
  /**
   * Whether the replication slot stays for the next start. In somebody else's database it is one of this process,
   * and is dropped at the end, because the server retains its log for a slot that nobody reads.
   */
  readonly keepsSlot: boolean;
  readonly say: (line: string) => void;
}

/** Name of the replication slot and of the publication. */
const SLOT = 'muster_dev';
const IN_FLIGHT = 16;
const RETRY_MS = 500;
/** How long the server may hold a slot after its reader has gone. */
const DROP_TRIES = 10;
/** Statuses of 400 and above with which a KafkaSource retries. */
const RETRIED = new Set([404, 408, 409, 429]);

/** Posts every change of some tables, read by logical replication, as Debezium and a KafkaSource would. */
export class SourceFollower {
  readonly #options: FollowOptions;
  readonly #slot: string;
  readonly #stopping = new AbortController();
  readonly #stopped: Promise<void>;
  readonly #running: Promise<void>;
  #wal: WalSource | null = null;
  #inFlight = 0;
  #sent = 0;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#slot = options.keepsSlot ? SLOT : `${SLOT}_${process.pid}`;
    const { signal } = this.#stopping;
    this.#stopped = new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
    this.#running = this.#run().catch((error: unknown) => {
      if (!signal.aborted) options.say(`the source: ${errorText(explained(error))}`);
    });
  }

  /** Tables that it follows. */
  get tables(): readonly string[] {
    return this.#options.tables;
  }

  /** Stops reading. With `forGood`, or in somebody else's database, the slot is dropped. */
  async stop(forGood = false): Promise<void> {
    const { url, keepsSlot, say } = this.#options;
    this.#stopping.abort();
    // The start of the replication waits for open transactions of the source: it is not waited for.
    await Promise.race([this.#running, sleep(RETRY_MS)]);
    await this.#wal?.stop();
    if (keepsSlot && !forGood) return;
    const isDropped = await this.#drop().catch(() => false);
    if (isDropped || keepsSlot) return;
    say(
      `a replication slot is left in ${new URL(url).host}, and keeps its log until you run there:\n  select pg_drop_replication_slot('${this.#slot}'); drop publication ${this.#slot};`,
    );
  }

  async #drop(): Promise<boolean> {
    for (let left = DROP_TRIES; left > 0; left -= 1) {
      if (await dropSlot(this.#options.url, this.#slot)) return true;
      await sleep(RETRY_MS / 5);
    }
    return false;
  }

  async #run(): Promise<void> {
    const { url, tables, keepsSlot, say } = this.#options;
    if (!keepsSlot) {
      for (const left of await leftSlots(url, SLOT)) {
        say(
          `${left} in the source is left of an earlier run, and keeps its log: select pg_drop_replication_slot('${left}')`,
        );
      }
    }
    const known = await slotTables(url, this.#slot);
    if (known !== null && known.join() !== tables.toSorted().join()) await this.#drop();
    let waitsFor = '';
    while (!this.#stopping.signal.aborted && this.#wal === null) {
      try {
        const options = { url, tables, slot: this.#slot, deliver: this.#deliver, say };
        this.#wal = await startWal(options);
      } catch (error) {
        if (!(error instanceof NoTable)) throw error;
        if (waitsFor !== error.message) say(`${error.message} yet; waiting for it`);
        waitsFor = error.message;
        await sleep(RETRY_MS, undefined, { signal: this.#stopping.signal });
      }
    }
    if (this.#stopping.signal.aborted || this.#wal === null) {
      await this.#wal?.stop();
      return;
    }
    say(`following ${tables.join(', ')}`);
    const failure = await Promise.race([this.#wal.failed, this.#stopped]);
    if (failure !== undefined) throw failure;
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
