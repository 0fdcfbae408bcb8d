import { capture, type CapturedTable } from '../../intake/wal/captured-table.ts';
import { Replication as Connection } from '../../intake/wal/connection.ts';
import { type RowEvent, toMessages } from '../../intake/wal/envelope.ts';
import { type BeginMessage, parseMessage, type Relation } from '../../intake/wal/pgoutput.ts';
import { eventOf } from '../../intake/wal/row-changes.ts';
import { describeRelation, type SourceTables } from '../../intake/wal/source-table.ts';
import { type Transaction, Watermark } from '../../intake/wal/watermark.ts';
import { withClient } from '../with-client.ts';
import type { Deliver } from './snapshot.ts';

/** The interval at which delivered positions are acknowledged to the slot, in milliseconds. */
const STATUS_INTERVAL = 200;

/** Thrown for a change that can't be converted: reading it again would not help. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

/** A message that waits to be handled; null is a keepalive. */
interface Queued {
  readonly position: bigint;
  readonly bytes: Buffer | null;
}

/** One replication connection; after it is lost, a new one starts at the slot's position. */
export class Replication {
  readonly #names: ReadonlySet<string>;
  readonly #url: string;
  readonly #slot: string;
  readonly #deliver: Deliver;
  readonly #watermark: Watermark;
  readonly #ended = Promise.withResolvers<Error | null>();
  readonly #relations = new Map<number, CapturedTable | null>();
  #connection: Connection | null = null;
  #queue: Queued[] = [];
  #isHandling = false;
  #over = false;
  #begin: BeginMessage | undefined;
  #transaction: Transaction | undefined;
  #lastCommit: bigint | null = null;

  /** `position`: everything below it is known to be delivered. */
  constructor(
    options: { url: string; slot: string; deliver: Deliver },
    tables: SourceTables,
    position: bigint,
  ) {
    this.#watermark = new Watermark(position);
    this.#names = new Set(tables.keys());
    this.#url = options.url;
    this.#slot = options.slot;
    this.#deliver = options.deliver;
  }

  get lag(): number {
    return this.#watermark.undelivered + this.#queue.length;
  }

  get position(): bigint {
    return this.#watermark.position;
  }

  /** Resolves when the connection has closed, with the reason unless it was stopped. */
  async run(): Promise<Error | null> {
    let status: NodeJS.Timeout | undefined;
    try {
      this.#connection = await Connection.start(this.#url, this.#slot, this.position, {
        message: (position, bytes) => this.#receive({ position, bytes: Buffer.from(bytes) }),
        keepalive: (position) => this.#receive({ position, bytes: null }),
      });
      status = setInterval(() => this.report(), STATUS_INTERVAL);
      if (this.#over) return null;
      return await Promise.race([this.#connection.ended, this.#ended.promise]);
    } catch (error) {
      return error as Error;
    } finally {
      clearInterval(status);
      this.#end(null);
      await this.#connection?.close(this.position);
    }
  }

  /** Acknowledges the delivered position and closes. */
  async stop(): Promise<void> {
    this.#end(null);
    await this.#connection?.close(this.position);
  }

  /** Acknowledges the delivered position to the slot; `ping` requests a reply. */
  report(ping = false): void {
    this.#connection?.acknowledge(this.position, ping);
  }

  #end(reason: Error | null): void {
    this.#over = true;
    this.#ended.resolve(reason);
  }

  #receive(message: Queued): void {
    this.#queue.push(message);
    if (!this.#isHandling) void this.#handleAll();
  }

  /** Handles messages one after the other; meanwhile, no more are read. */
  async #handleAll(): Promise<void> {
    this.#isHandling = true;
    this.#connection?.pause(true);
    for (let next = this.#queue[0]; next !== undefined && !this.#over; next = this.#queue[0]) {
      try {
        await this.#handle(next);
      } catch (cause) {
        const what = `the change at ${next.position} could not be delivered`;
        this.#end(new Malformed(what, { cause }));
      }
      this.#queue.shift();
    }
    this.#isHandling = false;
    this.#connection?.pause(false);
  }

  async #handle({ position, bytes }: Queued): Promise<void> {
    if (bytes === null) return this.#watermark.nothingBelow(position);
    const message = parseMessage(bytes);
    switch (message.kind) {
      case 'begin':
        this.#begin = message;
        this.#transaction = this.#watermark.begin();
        return;
      case 'commit':
        this.#lastCommit = message.end;
        return this.#watermark.commit(this.#transaction!, message.end);
      case 'relation':
        return this.#describe(message.relation);
      case 'row': {
        const table = this.#relations.get(message.relation);
        if (table != null) await this.#send(eventOf(message, table), table, position);
        return;
      }
      case 'truncate':
        for (const oid of message.relations) {
          const table = this.#relations.get(oid);
          if (table != null) await this.#send({ op: 't' }, table, position);
        }
        return;
      case 'other':
    }
  }

  async #describe(relation: Relation): Promise<void> {
    if (!this.#names.has(`${relation.schema}.${relation.name}`)) {
      this.#relations.set(relation.oid, null);
      return;
    }
    const table = await withClient(this.#url, (client) => describeRelation(client, relation));
    this.#relations.set(relation.oid, capture(table, new Set()));
  }

  async #send(event: RowEvent, { table }: CapturedTable, lsn: bigint): Promise<void> {
    const transaction = this.#transaction!;
    const { xid, at } = this.#begin!;
    const place = { lsn, lastCommit: this.#lastCommit, txId: xid, at, snapshot: 'false' as const };
    for (const message of toMessages(event, table, place)) {
      transaction.undelivered += 1;
      const { delivered } = await this.#deliver(message, table);
      // A rejection means that delivery was stopped: the message is sent again after the next start.
      delivered.then(() => this.#watermark.delivered(transaction)).catch(() => {});
    }
  }
}
