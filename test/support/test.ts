import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { inject, test as base } from 'vitest';

/** A database for the test, a copy of the migrated template. */
export interface TestDatabase {
  readonly url: string;
  readonly pool: pg.Pool;
  query<R extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<R[]>;
}

export const test = base.extend<{ db: TestDatabase }>({
  db: async ({}, use) => {
    const serverUrl = inject('serverUrl');
    const name = `test_${randomUUID().replaceAll('-', '')}`;
    await createDatabase(serverUrl, name);
    const { db, close } = databaseAt(`${serverUrl}/${name}`);
    await use(db);
    // The database is kept: dropping it while sockets are still closing raises unhandled errors.
    await close();
  },
});

/** Creates a pool of connections to an existing database. */
export function databaseAt(url: string): { db: TestDatabase; close: () => Promise<void> } {
  const pool = new pg.Pool({ connectionString: url, max: 8, application_name: 'test' });
  pool.on('error', () => {});
  const query = async <R extends object>(text: string, values?: unknown[]) =>
    (await pool.query<R>(text, values)).rows;
  // A failed test may still hold a connection, which must not block the others.
  const close = () => Promise.race([pool.end(), sleep(1_000, undefined, { ref: false })]);
  return { db: { url, pool, query }, close };
}

async function createDatabase(serverUrl: string, name: string): Promise<void> {
  const admin = new pg.Client(`${serverUrl}/postgres`);
  await admin.connect();
  try {
    await admin.query(`create database ${name} template template_muster strategy file_copy`);
  } finally {
    await admin.end();
  }
}
