import { isPooled, openSession, OWN_PATH, SESSION } from './session.ts';

/** A read-only connection. */
export interface Inspector {
  /** Whether a pooler is in between. Its mode is session: others are refused when it is opened. */
  readonly isPooled: boolean;
  query<R extends object>(text: string, values?: readonly unknown[]): Promise<R[]>;
  close(): Promise<void>;
}

/**
 * Opens a connection for inspection, possibly to a database that is not Muster's. The server refuses every
 * write on it, and cancels a query after 10 s. Plans are not pinned: catalogs and other people's tables need
 * the plans that Muster's own statements must avoid.
 */
export async function openInspector(url: string): Promise<Inspector> {
  const config = {
    connectionString: url,
    application_name: 'muster inspector',
    connectionTimeoutMillis: 5_000,
    query_timeout: 15_000,
  };
  const client = await openSession(config, {
    ...SESSION,
    ...OWN_PATH,
    default_transaction_read_only: 'on',
    statement_timeout: '10s',
    lock_timeout: '2s',
  });
  return {
    isPooled: isPooled(client),
    async query<R extends object>(text: string, values: readonly unknown[] = []) {
      return (await client.query<R>(text, [...values])).rows;
    },
    close: () => client.end(),
  };
}
