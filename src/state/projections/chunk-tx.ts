import type pg from 'pg';
import type { Tx } from '../../function.ts';
import {
  askAuthor,
  handBack,
  keepOpen,
  TransactionBroken,
  TransactionOver,
} from '../database/author-query.ts';
import { commit } from '../database/database.ts';
import { ENTER_OWN_PATH, LEAVE_OWN_PATH } from '../database/session.ts';

/** A transaction that an author and Muster write in. */
export interface Authored {
  /** For the author's statements, which can't end the transaction. */
  readonly tx: Tx;
  /** Sends a statement of Muster's own. */
  query<R extends object>(
    text: string | pg.QueryConfig,
    values?: unknown[],
  ): Promise<pg.QueryResult<R>>;
}

/** Runs `work` in a transaction; `false` rolls it back. */
export async function authored(
  pool: pg.Pool,
  work: (transaction: Authored) => Promise<boolean>,
): Promise<boolean> {
  const client = await pool.connect();
  const shared = new SharedTx(client);
  let broken: Error | undefined;
  try {
    await client.query(`begin; ${ENTER_OWN_PATH}`);
    const held = await work(shared);
    shared.end();
    if (held) await shared.commit();
    else await client.query('rollback');
    return held;
  } catch (error) {
    shared.end();
    await client.query('rollback').catch((cause: Error) => {
      broken = cause;
    });
    if (error instanceof TransactionBroken) broken = error;
    throw error;
  } finally {
    if (broken !== undefined || !shared.isUsed) client.release(broken);
    else void handBack(client);
  }
}

class SharedTx implements Authored {
  readonly #client: pg.PoolClient;
  /** Is the search path the author's, or Muster's? */
  #isTheirs = false;
  /** The first error of an author's statement: what the transaction was aborted by, if it is. */
  #failure: Error | null = null;
  #broken: TransactionBroken | null = null;
  #ended = false;
  isUsed = false;

  readonly tx: Tx = {
    query: <R extends object>(text: string, values: readonly unknown[] = []) => {
      const answer = this.#ask<R>(text, values);
      // An author who does not wait for it is told by the commit, which fails then.
      answer.catch(() => {});
      return answer;
    },
  };

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  /** A query after it is refused: it would run in somebody else's transaction. */
  end(): void {
    this.#ended = true;
  }

  async commit(): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    // what is deferred to COMMIT is the author's, and looks where the author looks
    if (!this.#isTheirs) this.#send(LEAVE_OWN_PATH);
    try {
      await commit(this.#client);
    } catch (error) {
      throw this.#failure ?? error;
    }
  }

  async query<R extends object>(text: string | pg.QueryConfig, values?: unknown[]) {
    if (this.#isTheirs) this.#send(ENTER_OWN_PATH);
    this.#isTheirs = false;
    return this.#client.query<R>(text as string, values);
  }

  async #ask<R extends object>(text: string, values: readonly unknown[]) {
    this.#refuseEnded();
    keepOpen(text);
    this.isUsed = true;
    if (!this.#isTheirs) this.#send(LEAVE_OWN_PATH);
    this.#isTheirs = true;
    try {
      const { rows, rowCount } = await askAuthor(this.#client, text, values);
      return { rows: rows as R[], rowCount };
    } catch (error) {
      if (error instanceof TransactionBroken) this.#broken = error;
      this.#failure ??= error as Error;
      throw error;
    }
  }

  /** Ahead of the statement that it is for, without waiting: where it fails, that fails too. */
  #send(text: string): void {
    this.#client.query(text).catch(() => {});
  }

  #refuseEnded(): void {
    if (this.#ended) throw new TransactionOver('the transaction has ended');
    if (this.#broken !== null) throw this.#broken;
  }
}
