import type pg from 'pg';
import type { Tx } from '../function.ts';
import { sqlState, type Database } from './database.ts';
import { beginWith, commitWith } from './framed-query.ts';
import { FENCED } from './runs.ts';

/** Savepoints are fine; an end of its own would part the author's writes from what commits with them. */
const ENDS_TRANSACTION =
  /^\s*(?:begin|start\s+transaction|commit|end|abort|prepare\s+transaction|rollback(?!\s+to))\b/i;

/** Throws for a statement that would end the transaction it is sent in. */
export function keepOpen(text: string): void {
  if (!ENDS_TRANSACTION.test(text)) return;
  throw new Error(`'${text.trim()}' is not for the handler: the transaction ends with its run`);
}

type Query = pg.QueryConfig & { readonly values: unknown[] };

interface Opened {
  readonly client: pg.PoolClient;
  /** To the query it was opened with. */
  readonly answer: Promise<pg.QueryResult>;
}

/**
 * The transaction a handler writes in: begun by its first query, ended by `commit` or `abandon` and
 * by nothing else. A query after that is refused, so a handler that outlives its time can do nothing.
 */
export class HandlerTx implements Tx {
  readonly #pool: pg.Pool;
  #connected: Promise<pg.PoolClient> | null = null;
  #opened: Promise<Opened> | null = null;
  #ended = false;
  #abandoned = false;

  constructor(database: Database) {
    this.#pool = database.handlers;
  }

  get isOpen(): boolean {
    return this.#opened !== null;
  }

  query<R extends object>(text: string, values: readonly unknown[] = []) {
    try {
      if (this.#ended) throw new Error('the transaction of this run has ended');
      keepOpen(text);
    } catch (error) {
      return Promise.reject(error);
    }
    const answer = this.#send<R>(text, values);
    // A handler that does not wait for it is told by its run, which can't commit then, and the process lives.
    answer.catch(() => {});
    return answer;
  }

  async #send<R extends object>(text: string, values: readonly unknown[]) {
    const query = { text, values: [...values] };
    const { rows, rowCount } = await (this.#opened === null ? this.#begin(query) : this.#go(query));
    return { rows: rows as R[], rowCount };
  }

  async #begin(query: Query): Promise<pg.QueryResult> {
    this.#opened = this.#open(query);
    return (await this.#opened).answer;
  }

  async #go(query: Query): Promise<pg.QueryResult> {
    const { client } = await this.#opened!;
    // If it has only ended, this is sent before its last statements, which wait for the connection behind it.
    this.#refuseAbandoned();
    return client.query(query.text, query.values);
  }

  /**
   * Sends the last statements and COMMIT right behind them, in one round trip: where they fail, there is
   * no COMMIT. False where they say that the run is no longer held; another error leaves open whether
   * it was committed.
   */
  async commit(statements: readonly pg.QueryConfig[]): Promise<boolean> {
    const client = await this.#end();
    const last = statements.length - 1;
    const sent = statements.map((each, i) =>
      i === last ? commitWith(client, each) : client.query(each),
    );
    // The first that failed says why; what came behind it only says that the transaction is aborted.
    const failed = (await Promise.allSettled(sent)).find((each) => each.status === 'rejected');
    client.release(failed !== undefined); // ended with its connection
    if (failed === undefined) return true;
    if (sqlState(failed.reason) === FENCED) return false;
    throw failed.reason;
  }

  /** Rolls back by closing the connection: also a query that still runs must not hold the run up. */
  async abandon(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#abandoned = true;
    const client = await this.#connected?.catch(() => null);
    client?.connection.stream.destroy(); // a client that pipelines would wait for its queries
    const opened = await this.#opened?.catch(() => null);
    opened?.client.release(true);
  }

  /** Gives the connection back where the transaction can't be opened. */
  async #open(first: Query): Promise<Opened> {
    this.#connected = this.#pool.connect();
    const client = await this.#connected;
    try {
      this.#refuseAbandoned();
      if (first.values.length > 0) {
        const { begun, answer } = beginWith(client, first);
        await begun;
        return { client, answer };
      }
      // may be several statements, which are for the simple protocol
      await client.query('begin');
      this.#refuseAbandoned();
      return { client, answer: client.query(first.text) };
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** The handler may have been abandoned while it waited for the connection. */
  #refuseAbandoned(): void {
    if (this.#abandoned) throw new Error('the transaction of this run has ended');
  }

  async #end(): Promise<pg.PoolClient> {
    if (this.#ended || this.#opened === null)
      throw new Error('the transaction of this run is not open');
    this.#ended = true;
    return (await this.#opened).client;
  }
}
