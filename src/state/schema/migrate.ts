import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import type pg from 'pg';
import { MIGRATION_LOCK, migrationsOf, OLDEST_SERVER } from './migrations.ts';
import { openSession, OWN_PATH, SESSION } from '../database/session.ts';

const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/**
 * Brings a database to this release: Muster's own schema, then the migrations of each named function
 * (`functions/<name>/migrations`), each counted in a table of its own. Returns the names of those
 * applied; an empty list means that there was nothing to do.
 */
export async function migrate(url: string, functions: readonly string[]): Promise<string[]> {
  const client = await openMigrator(url);
  try {
    await requireServer(client);
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await ensureSchema(client);
    const applied: string[] = [];
    for (const { folder, table } of migrationsOf(functions)) {
      applied.push(...(await apply(client, folder, table)));
    }
    return applied;
  } finally {
    await client.end();
  }
}

/** A session for migrations and grants, which may take as long as they need. */
export function openMigrator(url: string): Promise<pg.Client> {
  const config = { connectionString: url, application_name: 'muster migrate' };
  return openSession(config, { ...SESSION, ...OWN_PATH, statement_timeout: '0' });
}

async function requireServer(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ number: string; version: string }>(
    `select current_setting('server_version_num') as number, current_setting('server_version') as version`,
  );
  if (Number(rows[0]!.number) < OLDEST_SERVER) {
    throw new Error(
      `PostgreSQL ${rows[0]!.version} is too old for Muster's state: 18 or newer is needed`,
    );
  }
}

/** `create schema if not exists` needs the right to create one, also where it exists. */
async function ensureSchema(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query(`select from pg_namespace where nspname = 'muster'`);
  if (rowCount === 0) await client.query('create schema muster');
}

async function apply(client: pg.Client, folder: URL, table: string): Promise<string[]> {
  const done = await runner({
    dbClient: client,
    dir: fileURLToPath(folder),
    direction: 'up',
    migrationsTable: table,
    migrationsSchema: 'muster',
    // the search path; a function's migrations may name what is public without its schema
    schema: table === 'migration' ? 'pg_catalog' : 'public',
    checkOrder: true,
    // one session-wide lock is held by the caller, who waits where the library would give up
    noLock: true,
    logger,
  });
  return done.map((migration) => migration.name);
}
