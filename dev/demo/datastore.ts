import { readFileSync } from 'node:fs';
import type pg from 'pg';

/** Creates the table that the headbands write to, unless it exists. */
export async function ensureDatastore(client: pg.Client): Promise<void> {
  const { rows } = await client.query(`select to_regclass('datastore.signal') is null as missing`);
  // Several statements in one query are one transaction.
  if (rows[0].missing) {
    await client.query(readFileSync(new URL('datastore.sql', import.meta.url), 'utf8'));
  }
}
