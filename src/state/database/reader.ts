import pg from 'pg';
import type { Tx } from '../../function.ts';
import { commit } from './database.ts';
import { OWN_PATH, prepareSession, SESSION, timeout } from './session.ts';

/** The state database, to read. */
export interface Reader {
  /** Everything that `work` reads is of one moment; it can't write. */
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
}

export interface ReaderOptions {
  readonly url: string;
  /** Connections; each reads one thing at a time. */
  readonly connections: number;
  /** A statement may take so long before the server ends it. */
  readonly statementTimeoutMs: number;
  readonly onIdleError: (error: Error) => void;
}

/** A small pool for people's questions: its sessions can't write, its plans are the planner's own. */
export function openReader(options: ReaderOptions): Reader & { close(): Promise<void> } {
  const config: pg.PoolConfig = {
    connectionString: options.url,
    application_name: 'muster console',
    max: options.connections,
    connectionTimeoutMillis: 5_000,
    // The server's own time-out comes first; this one catches a server that is gone without a word.
    query_timeout: options.statementTimeoutMs + 5_000,
    keepAlive: true,
  };
  const settings = {
    ...SESSION,
    ...OWN_PATH,
    default_transaction_read_only: 'on',
    statement_timeout: timeout(options.statementTimeoutMs),
    jit: 'off',
  };
  const onConnect = (client: pg.ClientBase) => prepareSession(client, config, settings);
  const pool = new pg.Pool({ ...config, onConnect });
  pool.on('error', options.onIdleError);
  pool.on('connect', (client) => client.on('error', () => {}));
  return {
    async read(work) {
      const client = await pool.connect();
      let broken: Error | undefined;
      try {
        await client.query('begin isolation level repeatable read read only');
        const result = await work({
          query: <R extends object>(text: string, values: readonly unknown[] = []) =>
            client.query<R>(text, [...values]),
        });
        await commit(client);
        return result;
      } catch (error) {
        await client.query('rollback').catch((cause: Error) => {
          broken = cause;
        });
        throw error;
      } finally {
        client.release(broken);
      }
    },
    close: () => pool.end(),
  };
}
