import type pg from 'pg';
import type { Tx } from '../function.ts';
import { transaction } from './database.ts';
import { keepOpen } from './handler-tx.ts';

/** Runs `work` in a transaction that the author's statements can't end; `false` rolls it back. */
export async function authored(
  pool: pg.Pool,
  work: (tx: Tx, client: pg.PoolClient) => Promise<boolean>,
): Promise<boolean> {
  let held = true;
  try {
    await transaction(pool, async (client) => {
      const tx = new AuthorTx(client);
      try {
        held = await work(tx, client);
      } finally {
        tx.end();
      }
      if (!held) throw new RolledBack();
    });
  } catch (error) {
    if (!(error instanceof RolledBack)) throw error;
  }
  return held;
}

class RolledBack extends Error {}

/** A query after the end is refused: it would run outside of any transaction, on somebody else's connection. */
class AuthorTx implements Tx {
  readonly #client: pg.PoolClient;
  #ended = false;

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  end(): void {
    this.#ended = true;
  }

  async query<R extends object>(text: string, values: readonly unknown[] = []) {
    if (this.#ended) throw new Error('the transaction has ended');
    keepOpen(text);
    const { rows, rowCount } = await this.#client.query(text, [...values]);
    return { rows: rows as R[], rowCount };
  }
}
