import type pg from 'pg';
import type { Tx } from '../function.ts';
import type { Database } from './database.ts';

/**
 * The transaction a handler writes in: begun by its first query, ended by `commit` or `abandon` and
 * by nothing else. A query after that is refused, so a handler that outlives its time can do nothing.
 */
export class HandlerTx implements Tx {
  readonly #pool: pg.Pool;
  #client: Promise<pg.PoolClient> | null = null;
  #ended = false;

  constructor(database: Database) {
    this.#pool = database.handlers;
  }

  get isOpen(): boolean {
    return this.#client !== null;
  }

  async query<R extends object>(text: string, values: readonly unknown[] = []) {
    if (this.#ended) throw new Error('the transaction of this run has ended');
    this.#client ??= this.#begin();
    const client = await this.#client;
    // The handler may have been abandoned while it waited for the connection.
    if (this.#ended) throw new Error('the transaction of this run has ended');
    const { rows, rowCount } = await client.query(text, [...values]);
    return { rows: rows as R[], rowCount };
  }

  /**
   * Lets `last` send the last statement, then commits. When `last` says no, everything is rolled back.
   * An error of COMMIT itself leaves open whether it happened.
   */
  async commit(last: (client: pg.ClientBase) => Promise<boolean>): Promise<boolean> {
    const client = await this.#end();
    let broken: Error | undefined;
    try {
      const held = await last(client);
      await client.query(held ? 'commit' : 'rollback');
      return held;
    } catch (error) {
      broken = error as Error;
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /** Rolls back by closing the connection: also a query that still runs must not hold the run up. */
  async abandon(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const client = await this.#client?.catch(() => null);
    client?.release(true);
  }

  async #begin(): Promise<pg.PoolClient> {
    const client = await this.#pool.connect();
    await client.query('begin');
    return client;
  }

  async #end(): Promise<pg.PoolClient> {
    if (this.#ended || this.#client === null)
      throw new Error('the transaction of this run is not open');
    this.#ended = true;
    return this.#client;
  }
}
