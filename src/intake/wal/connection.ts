import pg from 'pg';
import { withTimeout } from '../../lib/timeout.ts';

/**
 * Settings of the sessions in the source. They make the server format values as column-values.ts expects, whatever the
 * defaults of the role, and let a snapshot of a large table take its time. While Muster's database is away, a snapshot
 * waits, and its transaction must not stay open for ever. A row that a policy hides is an error: the log has it, and a
 * snapshot would silently lack it.
 */
export const SETTINGS = {
  search_path: 'pg_catalog, pg_temp',
  row_security: 'off',
  default_transaction_read_only: 'off',
  TimeZone: 'UTC',
  DateStyle: 'ISO',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  statement_timeout: '0',
  lock_timeout: '0',
  transaction_timeout: '0',
  idle_session_timeout: '0',
  idle_in_transaction_session_timeout: '10min',
};

const CONNECT_MS = 10_000;
/** How long a stop waits for the server to confirm that it has read the last acknowledgement. */
const CONFIRM_MS = 500;
/** Microseconds from 1970 to 2000, from which PostgreSQL counts. */
const EPOCH = 946_684_800_000_000n;

/** Opens a connection for SQL. Its loss rejects the next query. */
export async function connect(url: string, name: string, replication = false): Promise<pg.Client> {
  const config = {
    connectionString: url,
    application_name: name,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    ...(replication && { replication: 'database' }),
  };
  const client = new pg.Client(config);
  client.on('error', () => {}); // the next query reports it
  try {
    await client.connect();
    // A walsender accepts no parameters.
    const settings = Object.entries(SETTINGS).map(([key, value]) => `('${key}', '${value}')`);
    await client.query(
      `select set_config(s.name, s.value, false) from (values ${settings.join(', ')}) as s (name, value)
       where current_setting(s.name, true) is not null`,
    );
    return client;
  } catch (error) {
    void client.end().catch(() => {});
    throw error;
  }
}

/** What {@link Replication} passes on. The bytes are valid until the function returns. */
export interface ReplicationEvents {
  message(position: bigint, bytes: Buffer): void;
  /** The server has sent everything below this position. */
  keepalive(position: bigint): void;
}

/** The part of pg's connection that replication needs. */
interface Wire {
  on(event: 'copyData', listener: (message: { readonly chunk: Buffer }) => void): void;
  once(event: 'replicationStart', listener: () => void): void;
  sendCopyFromChunk(chunk: Buffer): void;
  readonly stream: { pause(): void; resume(): void; destroy(): void };
}

/** Replication is a connection over which the server streams a slot's changes. */
export class Replication {
  readonly #client: pg.Client;
  readonly #wire: Wire;
  readonly #events: ReplicationEvents;
  readonly #ended = Promise.withResolvers<Error | null>();
  #confirmed: (() => void) | null = null;
  #hasEnded = false;
  #isPaused = false;
  #position: bigint;
  /** When the server last sent anything, by the monotonic clock. */
  heardAt = performance.now();

  private constructor(client: pg.Client, from: bigint, events: ReplicationEvents) {
    this.#client = client;
    this.#wire = (client as unknown as { connection: Wire }).connection;
    this.#events = events;
    this.#position = from;
  }

  /** Starts to stream a slot from where it was acknowledged. Rejects with SQLSTATE 55006 while it is in use. */
  static async start(
    url: string,
    slot: string,
    from: bigint,
    events: ReplicationEvents,
  ): Promise<Replication> {
    const client = await connect(url, `muster ${slot}`, true);
    const replication = new Replication(client, from, events);
    const reason = await replication.#start(slot);
    if (reason === null) return replication;
    await client.end().catch(() => {});
    throw reason;
  }

  /** Resolves when the connection has ended: with the reason, or null after {@link close}. */
  get ended(): Promise<Error | null> {
    return this.#ended.promise;
  }

  /** Resolves with null once the server streams, or with the reason why it does not. */
  #start(slot: string): Promise<Error | null> {
    const started = new Promise<null>((resolve) => {
      this.#wire.once('replicationStart', () => resolve(null));
    });
    this.#wire.on('copyData', ({ chunk }) => this.#receive(chunk));
    const end = (reason: Error | null) => {
      this.#hasEnded = true;
      this.#ended.resolve(reason);
    };
    this.#client.on('error', end);
    this.#client.on('end', () => end(new Error('the source closed the connection')));
    const options = `proto_version '1', publication_names '"${slot}"'`;
    this.#client.query(`START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (${options})`).then(
      () => end(new Error('the source ended the replication')),
      (error: Error) => end(error),
    );
    return Promise.race([started, this.ended]);
  }

  #receive(chunk: Buffer): void {
    if (this.#hasEnded) return;
    this.heardAt = performance.now();
    if (chunk[0] === 0x77) {
      // XLogData: position, end of the log, time
      this.#events.message(chunk.readBigUInt64BE(1), chunk.subarray(25));
    } else if (chunk[0] === 0x6b) {
      // keepalive: end of the log, time, whether to answer at once
      this.#events.keepalive(chunk.readBigUInt64BE(1));
      if (chunk[17] === 1) this.acknowledge(this.#position);
      this.#confirmed?.();
    }
  }

  /** Tells the server that everything below this position is delivered; `ping` asks for an answer. */
  acknowledge(position: bigint, ping = false): void {
    if (this.#hasEnded) return;
    this.#position = position;
    const status = Buffer.alloc(34);
    status[0] = 0x72;
    // written, flushed and applied
    for (const at of [1, 9, 17]) status.writeBigUInt64BE(position, at);
    status.writeBigInt64BE(BigInt(Date.now()) * 1000n - EPOCH, 25);
    status[33] = ping ? 1 : 0;
    this.#wire.sendCopyFromChunk(status);
  }

  /** Stops reading: the server then waits. It does not time out as long as positions are acknowledged. */
  pause(isPaused: boolean): void {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#wire.stream.pause();
    else this.#wire.stream.resume();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Acknowledges a position and closes. The answer to a ping proves that the server has read it. */
  async close(position: bigint): Promise<void> {
    if (!this.#hasEnded) {
      const confirmed = new Promise<void>((resolve) => (this.#confirmed = resolve));
      this.pause(false);
      this.acknowledge(position, true);
      await Promise.race([confirmed, this.ended, timeout(CONFIRM_MS)]);
    }
    this.#hasEnded = true;
    this.#ended.resolve(null);
    await disconnect(this.#client);
  }
}

/** Ends a connection, even if the server does not answer any more. */
export async function disconnect(client: pg.Client): Promise<void> {
  await withTimeout(
    client.end().catch(() => {}),
    CONFIRM_MS,
  );
  (client as unknown as { connection: Wire }).connection.stream.destroy();
}

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
