import pg from 'pg';
import type { Tx } from '../../function.ts';
import { commit } from './database.ts';
import { OWN_PATH, prepareSession, SESSION, timeoutSetting } from './session.ts';

/** Read-only access to the state database. */
export interface Reader {
  /** Runs `work` in a read-only transaction, in which everything is read from one snapshot. */
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
}

export interface ReaderOptions {
  readonly url: string;
  /** Number of connections. */
  readonly connections: number;
  /** Timeout after which the server cancels a statement. */
  readonly statementTimeoutMs: number;
  readonly onIdleError: (error: Error) => void;
}

/** Opens a small pool for the console: its sessions are read-only, and its plans are not pinned. */
export function openReader(options: ReaderOptions): Reader & { close(): Promise<void> } {
  const config: pg.PoolConfig = {
    connectionString: options.url,
    application_name: 'muster console',
    max: options.connections,
    connectionTimeoutMillis: 5_000,
    // The server's own timeout comes first; this one detects a server that vanished.
    query_timeout: options.statementTimeoutMs + 5_000,
    keepAlive: true,
  };
  const settings = {
    ...SESSION,
    ...OWN_PATH,
    default_transaction_read_only: 'on',
    statement_timeout: timeoutSetting(options.statementTimeoutMs),
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
