import type pg from 'pg';
import type { Tx } from '../function.ts';
import { sqlState, type Database } from './database.ts';
import { FENCED } from './runs.ts';

/** Savepoints are fine; an end of its own would part the author's writes from what commits with them. */
const ENDS_TRANSACTION =
  /^\s*(?:begin|start\s+transaction|commit|end|abort|prepare\s+transaction|rollback(?!\s+to))\b/i;

/** Throws for a statement that would end the transaction it is sent in. */
export function keepOpen(text: string): void {
  if (!ENDS_TRANSACTION.test(text)) return;
  throw new Error(`'${text.trim()}' is not for the handler: the transaction ends with its run`);
}

/**
 * The transaction a handler writes in: begun by its first query, ended by `commit` or `abandon` and
 * by nothing else. A query after that is refused, so a handler that outlives its time can do nothing.
 */
export class HandlerTx implements Tx {
  readonly #pool: pg.Pool;
  #client: Promise<pg.PoolClient> | null = null;
  #ended = false;
  #abandoned = false;

  constructor(database: Database) {
    this.#pool = database.handlers;
  }

  get isOpen(): boolean {
    return this.#client !== null;
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
    this.#client ??= this.#begin();
    const client = await this.#client;
    // The handler may have been abandoned while it waited for the connection. If it has only ended, this
    // is sent before its last statements, which wait for the connection behind it.
    if (this.#abandoned) throw new Error('the transaction of this run has ended');
    const { rows, rowCount } = await client.query(text, [...values]);
    return { rows: rows as R[], rowCount };
  }

  /**
   * Lets `last` send the last statements and sends COMMIT right behind them, in one round trip: where
   * they fail, COMMIT has nothing left but to roll back. False where they say that the run is no
   * longer held; an error of COMMIT itself leaves open whether it happened.
   */
  async commit(last: (client: pg.ClientBase) => Promise<void>): Promise<boolean> {
    const client = await this.#end();
    let broken: Error | undefined;
    try {
      const [sent, committed] = await Promise.allSettled([last(client), client.query('commit')]);
      if (committed.status === 'rejected') broken = committed.reason as Error;
      if (sent.status === 'fulfilled' && broken === undefined) return true;
      if (sent.status === 'fulfilled') throw broken;
      if (sqlState(sent.reason) === FENCED) return false;
      throw sent.reason;
    } finally {
      client.release(broken);
    }
  }

  /** Rolls back by closing the connection: also a query that still runs must not hold the run up. */
  async abandon(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#abandoned = true;
    const client = await this.#client?.catch(() => null);
    if (client == null) return;
    client.connection.stream.destroy(); // a client that pipelines would wait for its queries
    client.release(true);
  }

  async #begin(): Promise<pg.PoolClient> {
    const client = await this.#pool.connect();
    try {
      await client.query('begin');
      return client;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  async #end(): Promise<pg.PoolClient> {
    if (this.#ended || this.#client === null)
      throw new Error('the transaction of this run is not open');
    this.#ended = true;
    return this.#client;
  }
}
