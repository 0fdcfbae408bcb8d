import type pg from 'pg';
import type { Tx } from '../../function.ts';
import {
  queryForAuthor,
  resetAndRelease,
  keepOpen,
  TransactionBroken,
  TransactionOver,
} from '../database/author-query.ts';
import { commit } from '../database/database.ts';
import { ENTER_OWN_PATH, LEAVE_OWN_PATH } from '../database/session.ts';

/** A transaction that both an author and Muster write in. */
export interface Authored {
  /** For the author's statements, which can't end it. */
  readonly tx: Tx;
  /** Sends one of Muster's own statements. */
  query<R extends object>(
    text: string | pg.QueryConfig,
    values?: unknown[],
  ): Promise<pg.QueryResult<R>>;
}

/** Runs `work` in a transaction, which is rolled back if it resolves with false. */
export async function authored(
  pool: pg.Pool,
  work: (transaction: Authored) => Promise<boolean>,
): Promise<boolean> {
  const client = await pool.connect();
  const shared = new SharedTx(client);
  let broken: Error | undefined;
  try {
    await client.query(`begin; ${ENTER_OWN_PATH}`);
    const commits = await work(shared);
    shared.end();
    if (commits) await shared.commit();
    else await client.query('rollback');
    return commits;
  } catch (error) {
    shared.end();
    await client.query('rollback').catch((cause: Error) => {
      broken = cause;
    });
    if (error instanceof TransactionBroken) broken = error;
    throw error;
  } finally {
    if (broken !== undefined || !shared.isUsed) client.release(broken);
    else void resetAndRelease(client);
  }
}

class SharedTx implements Authored {
  readonly #client: pg.PoolClient;
  /** Whether the search path is the author's. */
  #isAuthorPath = false;
  /** First error of an author's statement: the reason if the transaction is aborted. */
  #failure: Error | null = null;
  #broken: TransactionBroken | null = null;
  #ended = false;
  isUsed = false;

  readonly tx: Tx = {
    query: <R extends object>(text: string, values: readonly unknown[] = []) => {
      const answer = this.#queryForAuthor<R>(text, values);
      // If the author does not await it, the error is reported by the commit, which fails then.
      answer.catch(() => {});
      return answer;
    },
  };

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  /** Refuses further queries: they would run in another transaction. */
  end(): void {
    this.#ended = true;
  }

  async commit(): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    // Deferred constraints and triggers are the author's, and run with the author's search path.
    if (!this.#isAuthorPath) this.#send(LEAVE_OWN_PATH);
    try {
      await commit(this.#client);
    } catch (error) {
      throw this.#failure ?? error;
    }
  }

  async query<R extends object>(text: string | pg.QueryConfig, values?: unknown[]) {
    if (this.#isAuthorPath) this.#send(ENTER_OWN_PATH);
    this.#isAuthorPath = false;
    return this.#client.query<R>(text as string, values);
  }

  async #queryForAuthor<R extends object>(text: string, values: readonly unknown[]) {
    this.#refuseEnded();
    keepOpen(text);
    this.isUsed = true;
    if (!this.#isAuthorPath) this.#send(LEAVE_OWN_PATH);
    this.#isAuthorPath = true;
    try {
      const { rows, rowCount } = await queryForAuthor(this.#client, text, values);
      return { rows: rows as R[], rowCount };
    } catch (error) {
      if (error instanceof TransactionBroken) this.#broken = error;
      this.#failure ??= error as Error;
      throw error;
    }
  }

  /** Sends a statement ahead of another one without awaiting it: if it fails, the other one fails too. */
  #send(text: string): void {
    this.#client.query(text).catch(() => {});
  }

  #refuseEnded(): void {
    if (this.#ended) throw new TransactionOver('the transaction has ended');
    if (this.#broken !== null) throw this.#broken;
  }
}
