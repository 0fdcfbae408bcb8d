import pg from 'pg';

/** A connection that can only read. */
export interface Inspector {
  query<R extends object>(text: string, values?: readonly unknown[]): Promise<R[]>;
  close(): Promise<void>;
}

/**
 * Opens one connection for questions, also to a database that is not Muster's: the server refuses
 * every write on it, and ends a question after 10 s. Plans are not pinned: catalogs and other
 * people's tables need what Muster's own statements must not have.
 */
export async function openInspector(url: string): Promise<Inspector> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'muster inspector',
    connectionTimeoutMillis: 5_000,
    query_timeout: 15_000,
    options: [
      'default_transaction_read_only=on',
      'statement_timeout=10000',
      'lock_timeout=2000',
      'synchronous_commit=on', // as on Muster's own connections
    ]
      .map((setting) => `-c ${setting}`)
      .join(' '),
  });
  client.on('error', () => {}); // the next question tells
  await client.connect();
  return {
    async query<R extends object>(text: string, values: readonly unknown[] = []) {
      return (await client.query<R>(text, [...values])).rows;
    },
    close: () => client.end(),
  };
}
