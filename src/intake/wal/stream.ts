import type pg from 'pg';
import { capture, type CapturedTable } from './captured-table.ts';
import { Replication } from './connection.ts';
import type { Delivery } from './delivery.ts';
import type { LogPosition } from './envelope.ts';
import { type BeginMessage, parseMessage, type Relation, type RowMessage } from './pgoutput.ts';
import { toChanges, toTruncate } from './row-changes.ts';
import { describeRelation } from './source-table.ts';
import { type Transaction, Watermark } from './watermark.ts';

/** Interval at which delivered positions are acknowledged. */
const STATUS_MS = 200;
/** The server is asked for an answer this often, and the connection given up without one. */
const PING_MS = 10_000;
const SILENCE_MS = 60_000;

export interface StreamOptions {
  readonly url: string;
  readonly slot: string;
  /** `source.name` of the changes. */
  readonly source: string;
  /** Columns that functions need, by table; null for all. */
  readonly tables: ReadonlyMap<string, ReadonlySet<string> | null>;
  readonly delivery: Delivery;
}

/** A message that waits for the description of a table before it; null is a keepalive. */
interface Queued {
  readonly position: bigint;
  readonly bytes: Buffer | null;
}

/** Stream delivers the changes of a slot, and acknowledges those below which everything is delivered. */
export class Stream {
  readonly #options: StreamOptions;
  /** A connection for questions to the catalog. */
  readonly #catalog: pg.Client;
  readonly #watermark: Watermark;
  readonly #failed = Promise.withResolvers<never>();
  readonly #relations = new Map<number, CapturedTable | null>();
  #replication: Replication | null = null;
  #queue: Queued[] = [];
  #isDescribing = false;
  #isStopped = false;
  #begin: BeginMessage | null = null;
  #transaction: Transaction | null = null;

  constructor(catalog: pg.Client, from: bigint, options: StreamOptions) {
    this.#catalog = catalog;
    this.#watermark = new Watermark(from);
    this.#options = options;
    this.#failed.promise.catch(() => {}); // reported by run
  }

  /** Seconds since the oldest transaction was committed that is not delivered. */
  get behindSeconds(): number {
    const at = this.#watermark.oldestAt;
    return at === null ? 0 : Math.max(0, (Date.now() - at) / 1000);
  }

  /** Streams until {@link stop}; rejects with the reason if it ends before. `started` is called once it streams. */
  async run(started: () => void): Promise<void> {
    const { url, slot, delivery } = this.#options;
    const replication = await Replication.start(url, slot, this.#watermark.position, {
      message: (position, bytes) => this.#receive({ position, bytes: Buffer.from(bytes) }),
      keepalive: (position) => this.#receive({ position, bytes: null }),
    });
    this.#replication = replication;
    const status = setInterval(() => this.#report(), STATUS_MS);
    const ping = setInterval(() => this.#ping(), PING_MS);
    try {
      if (this.#isStopped) return;
      started();
      const reason = await Promise.race([replication.ended, delivery.failed, this.#failed.promise]);
      if (reason !== null) throw reason;
    } finally {
      clearInterval(status);
      clearInterval(ping);
      this.#isStopped = true;
      await replication.close(this.#watermark.position);
    }
  }

  /** Stops reading, waits for what is in progress, acknowledges it, and closes. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#queue = [];
    await this.#options.delivery.drained().catch(() => {});
    await this.#replication?.close(this.#watermark.position);
  }

  #report(): void {
    const replication = this.#replication!;
    replication.acknowledge(this.#watermark.position);
    if (replication.isPaused && this.#mayRead()) replication.pause(false);
  }

  #ping(): void {
    const replication = this.#replication!;
    // While it is paused, answers are not read.
    if (replication.isPaused) replication.heardAt = performance.now();
    else if (performance.now() - replication.heardAt > SILENCE_MS) {
      this.#failed.reject(new Error('the source does not answer any more'));
    } else replication.acknowledge(this.#watermark.position, true);
  }

  #mayRead(): boolean {
    return !this.#isDescribing && this.#options.delivery.hasRoom;
  }

  #receive(message: Queued): void {
    if (this.#isStopped) return;
    if (this.#isDescribing) this.#queue.push(message);
    else this.#handle(message);
    if (this.#isDescribing || this.#options.delivery.isFull) this.#pause();
  }

  #pause(): void {
    const replication = this.#replication;
    if (replication === null || replication.isPaused) return;
    replication.pause(true);
    if (this.#isDescribing) return; // resumes by itself
    const resume = () => {
      if (this.#mayRead()) replication.pause(false);
    };
    this.#options.delivery.room().then(resume, () => {});
  }

  #handle({ position, bytes }: Queued): void {
    if (bytes === null) return this.#watermark.nothingBelow(position);
    const message = parseMessage(bytes);
    switch (message.kind) {
      case 'begin':
        this.#begin = message;
        this.#transaction = this.#watermark.begin(Number(message.at / 1000n));
        break;
      case 'commit':
        this.#watermark.commit(this.#transaction!, message.end);
        break;
      case 'relation':
        void this.#describe(message.relation);
        break;
      case 'row':
        this.#handleRow(message, position);
        break;
      case 'truncate':
        for (const oid of message.relations) {
          const table = this.#relations.get(oid);
          if (table == null) continue;
          this.#push(toTruncate(table, this.#placeOf(position), this.#options.source), 0);
        }
        break;
      case 'other':
        break;
    }
  }

  #handleRow(message: RowMessage, position: bigint): void {
    const table = this.#relations.get(message.relation);
    if (table == null) return; // no function needs it
    const changes = toChanges(message, table, this.#placeOf(position), this.#options.source);
    for (const change of changes) this.#push(change, message.bytes.length);
  }

  #push(change: Parameters<Delivery['push']>[0], bytes: number): void {
    const transaction = this.#transaction!;
    transaction.undelivered += 1;
    this.#options.delivery.push(change, bytes, () => this.#watermark.delivered(transaction));
  }

  /**
   * The last commit is the change's own, which starts one byte earlier: by that, a snapshot at some position contains
   * the change, or it does not.
   */
  #placeOf(lsn: bigint): LogPosition {
    const { commit, xid, at } = this.#begin!;
    return { lsn, lastCommit: commit + 1n, txId: xid, at, snapshot: 'false' };
  }

  /** Describes a table by the catalog; the messages after it wait. */
  async #describe(relation: Relation): Promise<void> {
    const needed = this.#options.tables.get(`${relation.schema}.${relation.name}`);
    if (needed === undefined) {
      this.#relations.set(relation.oid, null);
      return;
    }
    this.#isDescribing = true;
    try {
      const table = await describeRelation(this.#catalog, relation);
      this.#relations.set(relation.oid, capture(table, needed));
    } catch (error) {
      return this.#failed.reject(error);
    }
    this.#isDescribing = false;
    const queue = this.#queue;
    this.#queue = [];
    for (const message of queue) this.#receive(message);
    if (this.#mayRead()) this.#replication?.pause(false);
  }
}
