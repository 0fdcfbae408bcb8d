import { setTimeout as sleep } from 'node:timers/promises';
import type { WalIntake } from '../../intake/wal/intake.ts';
import { errorText } from '../../lib/error-text.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import { type FollowedChange, followTables } from '../follow-tables.ts';
import { dropSlot, leftSlots } from './slot.ts';

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
/** Name of the source of the rows: the same in every run, whatever the slot is called. */
const SOURCE = 'wal:muster_dev';
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
  readonly #started: Promise<void>;
  readonly #room = new Semaphore(IN_FLIGHT);
  #intake: WalIntake | null = null;
  #hasFollowed = false;
  #said = '';
  #sent = 0;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#slot = options.keepsSlot ? SLOT : `${SLOT}_${process.pid}`;
    this.#started = this.#start().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) options.say(`the source: ${errorText(error)}`);
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
    await this.#started;
    await this.#intake?.stop();
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

  async #start(): Promise<void> {
    const { url, tables, keepsSlot, say } = this.#options;
    if (!keepsSlot) {
      for (const left of await leftSlots(url, SLOT)) {
        say(
          `${left} in the source is left of an earlier run, and keeps its log: select pg_drop_replication_slot('${left}')`,
        );
      }
    }
    if (this.#stopping.signal.aborted) return;
    this.#intake = followTables({
      url,
      slot: this.#slot,
      source: SOURCE,
      tables,
      deliver: (change) => this.#post(change),
      say,
      onTrouble: (why) => this.#report(why),
      onReading: () => {
        if (!this.#hasFollowed) say(`following ${tables.join(', ')}`);
        this.#hasFollowed = true;
      },
    });
  }

  /** Prints why nothing is read. Only a table that is missing, or a source that was read before, is waited for. */
  #report(why: string): void {
    if (why === this.#said || this.#stopping.signal.aborted) return;
    this.#said = why;
    const { say } = this.#options;
    if (why.endsWith(' does not exist in the source')) return say(`${why} yet; waiting for it`);
    say(why.startsWith('the source: ') ? why : `the source: ${why}`);
    if (!this.#hasFollowed) void this.#intake?.stop();
  }

  /** Resolves once the event is accepted, or refused for good; rejects after a stop. */
  async #post(change: FollowedChange): Promise<void> {
    const { sink, say } = this.#options;
    const { signal } = this.#stopping;
    const table = change.kind === 'row' ? change.stream : change.table;
    const headers = {
      'ce-specversion': '1.0',
      'ce-type': 'dev.knative.kafka.event',
      'ce-source': `/muster/dev/${table}`,
      'ce-id': String((this.#sent += 1)),
    };
    const body = new Uint8Array(change.origin.body);
    await this.#room.enter();
    try {
      for (;;) {
        const answer = await fetch(sink, { method: 'POST', headers, body, signal }).catch(
          () => null,
        );
        const status = answer?.status ?? 0;
        const text = (await answer?.text().catch(() => '')) ?? '';
        if (status >= 400 && status < 500 && !RETRIED.has(status)) {
          return say(`a change of ${table} was refused: ${status} ${text}`);
        }
        if (status === 202) say(`a change of ${table} was parked: 'muster parked' shows why`);
        if (status >= 200 && status < 300) return;
        await sleep(RETRY_MS, undefined, { signal });
      }
    } finally {
      this.#room.leave();
    }
  }
}
