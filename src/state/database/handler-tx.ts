import type pg from 'pg';
import { TerminalError, type Tx } from '../../function.ts';
import { errorText } from '../../lib/error-text.ts';
import {
  queryForAuthor,
  resetAndRelease,
  keepOpen,
  TransactionBroken,
  TransactionOver,
} from './author-query.ts';
import { sqlState, type Database } from './database.ts';
import { beginWith, commitWith } from './framed-query.ts';
import { ENTER_OWN_PATH } from './session.ts';

/** SQLSTATE that `muster.fence` raises if another worker holds the run. */
const FENCED = 'MU001';

type Query = pg.QueryConfig & { readonly values: unknown[] };

const OVER = 'the transaction of this run has ended';

interface Opened {
  readonly client: pg.PoolClient;
  /** Answer to the query that opened it. */
  readonly answer: Promise<pg.QueryResult>;
}

/**
 * HandlerTx is the transaction that a handler writes in. Its first query begins it, and only `commit` or
 * `abandon` ends it. A query after that is refused, so that a handler can't write after its timeout.
 */
export class HandlerTx implements Tx {
  readonly #pool: pg.Pool;
  #connected: Promise<pg.PoolClient> | null = null;
  #opened: Promise<Opened> | null = null;
  #ended = false;
  #abandoned = false;
  /** Set once a statement ended the transaction. Its writes may be committed, and a retry would repeat them. */
  #broken: TerminalError | null = null;

  constructor(database: Database) {
    this.#pool = database.handlers;
  }

  get isOpen(): boolean {
    return this.#opened !== null;
  }

  query<R extends object>(text: string, values: readonly unknown[] = []) {
    const answer = this.#send<R>(text, values);
    // A handler that does not await it must not end the process: the commit of its run fails instead.
    answer.catch(() => {});
    return answer;
  }

  async #send<R extends object>(text: string, values: readonly unknown[]) {
    if (this.#ended) throw new TransactionOver(OVER);
    if (this.#broken !== null) throw this.#broken;
    keepOpen(text);
    const query = { text, values: [...values] };
    try {
      const { rows, rowCount } = await (this.#opened === null
        ? this.#begin(query)
        : this.#continue(query));
      return { rows: rows as R[], rowCount };
    } catch (error) {
      if (error instanceof TransactionBroken) {
        throw (this.#broken = new TerminalError(error.message, { cause: error }));
      }
      if (!this.#abandoned || error instanceof TransactionOver) throw error;
      throw new TransactionOver(`${OVER}: ${errorText(error)}`, { cause: error });
    }
  }

  async #begin(query: Query): Promise<pg.QueryResult> {
    this.#opened = this.#open(query);
    return (await this.#opened).answer;
  }

  async #continue(query: Query): Promise<pg.QueryResult> {
    const { client } = await this.#opened!;
    // If `commit` has been called in the meantime, this query is sent before its last statements, which wait for the
    // same connection.
    this.#refuseAbandoned();
    return queryForAuthor(client, query.text, query.values);
  }

  /**
   * Sends the last statements and COMMIT, in one round trip: if a statement fails, there is no COMMIT.
   * Resolves with false if they find that the run is no longer leased. Another error leaves open whether the
   * transaction was committed.
   */
  async commit(statements: readonly pg.QueryConfig[]): Promise<boolean> {
    const client = await this.#end();
    const last = statements.length - 1;
    const sent = [
      client.query(ENTER_OWN_PATH),
      ...statements.map((each, i) => (i === last ? commitWith(client, each) : client.query(each))),
    ];
    // The first error is the cause; later ones only report that the transaction is aborted.
    const failed = (await Promise.allSettled(sent)).find((each) => each.status === 'rejected');
    if (failed === undefined) {
      void resetAndRelease(client);
      return true;
    }
    client.release(true); // the transaction ends with its connection
    if (sqlState(failed.reason) === FENCED) return false;
    throw failed.reason;
  }

  /** Rolls back by closing the connection, so that a query that still runs does not delay the run. */
  async abandon(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#abandoned = true;
    const client = await this.#connected?.catch(() => null);
    client?.connection.stream.destroy(); // `release` of a client that pipelines would wait for its queries
    const opened = await this.#opened?.catch(() => null);
    opened?.client.release(true);
  }

  /** Opens the transaction; releases the connection if that fails. */
  async #open(first: Query): Promise<Opened> {
    this.#connected = this.#pool.connect();
    const client = await this.#connected;
    try {
      this.#refuseAbandoned();
      const { begun, answer } = beginWith(client, first);
      await begun;
      return { client, answer };
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** The transaction may have been abandoned while it waited for the connection. */
  #refuseAbandoned(): void {
    if (this.#abandoned) throw new TransactionOver(OVER);
  }

  async #end(): Promise<pg.PoolClient> {
    if (this.#ended || this.#opened === null) {
      throw new Error('the transaction of this run is not open');
    }
    this.#ended = true;
    const { client } = await this.#opened;
    if (this.#broken === null) return client;
    client.release(true);
    throw this.#broken;
  }
}
