import { setTimeout as sleep } from 'node:timers/promises';
import { LogicalReplicationService, type Pgoutput, PgoutputPlugin } from 'pg-logical-replication';
import { type RowEvent, toMessages } from './envelope.ts';
import { formatLsn, parseLsn } from './lsn.ts';
import { type Deliver, SESSION } from './snapshot.ts';
import { readTableAt, type SourceTable, type SourceTables } from './source-table.ts';
import { type Transaction, Watermark } from './watermark.ts';

/** The interval at which delivered positions are acknowledged to the slot, in milliseconds. */
const STATUS_INTERVAL = 200;

/** Thrown for a change that can't be converted: reading it again would not help. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

/** One replication connection; after it is lost, a new one starts at the slot's position. */
export class Replication {
  readonly #tables: Map<string, SourceTable>;
  readonly #url: string;
  readonly #slot: string;
  readonly #deliver: Deliver;
  readonly #plugin: CountingPlugin;
  readonly #service: LogicalReplicationService;
  readonly #watermark: Watermark;
  readonly #ended = Promise.withResolvers<Error | undefined>();
  #over = false;
  #handled = 0;
  #begin: Pgoutput.MessageBegin | undefined;
  #transaction: Transaction | undefined;
  #lastCommit: bigint | null = null;

  /** `position`: everything below it is known to be delivered. */
  constructor(
    options: { url: string; slot: string; deliver: Deliver },
    tables: SourceTables,
    position: bigint,
  ) {
    this.#watermark = new Watermark(position);
    this.#tables = new Map(tables);
    this.#url = options.url;
    this.#slot = options.slot;
    this.#deliver = options.deliver;
    this.#plugin = new CountingPlugin(options.slot);
    this.#service = new LogicalReplicationService(
      { connectionString: options.url, options: SESSION },
      // With a timeout the library acknowledges what it has received, delivered or not.
      { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: true } },
    );
  }

  get lag(): number {
    return this.#watermark.undelivered + this.#plugin.parsed - this.#handled;
  }

  get position(): bigint {
    return this.#watermark.position;
  }

  /** Resolves when the connection has closed, with the reason unless it was stopped. */
  async run(): Promise<Error | undefined> {
    const service = this.#service;
    service.on('data', (lsn: string, message: Pgoutput.Message) => this.#take(lsn, message));
    service.on('heartbeat', (lsn: string) => this.#heartbeat(parseLsn(lsn)));
    service.on('error', (error: Error) => this.#end(error));
    service.subscribe(this.#plugin, this.#slot).then(
      () => this.#end(),
      (error: Error) => this.#end(error),
    );
    const status = setInterval(() => void this.report(), STATUS_INTERVAL);
    const reason = await this.#ended.promise;
    clearInterval(status);
    await service.destroy().catch(() => {});
    return reason;
  }

  /** Acknowledges the delivered position and closes. The reply to a ping proves the server has read it. */
  async stop(): Promise<void> {
    if (!this.#service.isStop()) {
      const answered = new Promise((resolve) => this.#service.once('heartbeat', resolve));
      await this.report(true);
      await Promise.race([answered, sleep(500)]);
    }
    this.#end();
  }

  /**
   * Acknowledges the delivered position to the slot; `ping` requests a reply. The library adds 1 to its
   * argument, and one byte too far skips a transaction whose commit record starts there.
   */
  async report(ping = false): Promise<void> {
    await this.#service.acknowledge(formatLsn(this.#watermark.position - 1n), ping);
  }

  #end(reason?: Error): void {
    this.#over = true;
    this.#ended.resolve(reason);
  }

  /** Handles a keepalive: the server has read the log up to here. It overtakes messages not yet handled. */
  #heartbeat(position: bigint): void {
    if (this.#plugin.parsed === this.#handled) this.#watermark.nothingBelow(position);
  }

  /** Rejects messages after the end: a commit must not count without the messages before it. */
  async #take(lsn: string, message: Pgoutput.Message): Promise<void> {
    if (this.#over) return;
    try {
      if (message.tag === 'begin') {
        this.#begin = message;
        this.#transaction = this.#watermark.begin();
      } else if (message.tag === 'commit') {
        this.#lastCommit = parseLsn(message.commitEndLsn!);
        this.#watermark.commit(this.#transaction!, this.#lastCommit);
      } else {
        if (message.tag === 'relation') await this.#refresh(message);
        const event = toEvent(message);
        for (const name of event === undefined ? [] : tablesOf(message)) {
          await this.#send(event!, this.#tables.get(name)!, parseLsn(lsn));
        }
      }
      this.#handled += 1;
    } catch (cause) {
      this.#end(new Malformed(`the change at ${lsn} could not be delivered`, { cause }));
    }
  }

  /** Reads a table again whose columns have changed since the start. */
  async #refresh({ schema, name, columns }: Pgoutput.MessageRelation): Promise<void> {
    const known = this.#tables.get(`${schema}.${name}`);
    const names = columns.map((column) => column.name).join();
    if (known?.columns.map((column) => column.name).join() === names) return;
    this.#tables.set(`${schema}.${name}`, await readTableAt(this.#url, `${schema}.${name}`));
  }

  async #send(event: RowEvent, table: SourceTable, lsn: bigint): Promise<void> {
    const transaction = this.#transaction!;
    const at = {
      lsn,
      lastCommit: this.#lastCommit,
      txId: this.#begin!.xid,
      at: this.#begin!.commitTime.valueOf(),
      snapshot: 'false' as const,
    };
    for (const message of toMessages(event, table, at)) {
      transaction.undelivered += 1;
      const { delivered } = await this.#deliver(message, table);
      // A rejection means that delivery was stopped: the message is sent again after the next start.
      delivered.then(() => this.#watermark.delivered(transaction)).catch(() => {});
    }
  }
}

/** Names of the tables that a change concerns: a truncate may concern several. */
function tablesOf(message: Pgoutput.Message): string[] {
  const relations = [
    ...('relations' in message ? message.relations : []),
    ...('relation' in message ? [message.relation] : []),
  ];
  return relations.map(({ schema, name }) => `${schema}.${name}`);
}

function toEvent(message: Pgoutput.Message): RowEvent | undefined {
  if (message.tag === 'insert') return { op: 'c', after: message.new };
  if (message.tag === 'truncate') return { op: 't' };
  if (message.tag !== 'update' && message.tag !== 'delete') return undefined;

  const full = message.old !== null;
  const before = message.old ?? message.key;
  return message.tag === 'update'
    ? { op: 'u', before, full, after: message.new }
    : { op: 'd', before: before ?? {}, full };
}

/** Keeps values in the server's text format (a Date would lose the microseconds), and counts messages. */
class CountingPlugin extends PgoutputPlugin {
  parsed = 0;

  constructor(publication: string) {
    super({ protoVersion: 1, publicationNames: [publication] });
  }

  override parse(buffer: Buffer): Pgoutput.Message {
    this.parsed += 1;
    const message = super.parse(buffer);
    if (message.tag === 'relation') for (const column of message.columns) column.parser = String;
    return message;
  }
}
