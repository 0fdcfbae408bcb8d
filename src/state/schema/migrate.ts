import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import type pg from 'pg';
import { MIGRATION_LOCK, migrationsOf, OLDEST_SERVER } from './migrations.ts';
import { openSession, OWN_PATH, SESSION } from '../database/session.ts';

const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/**
 * Migrates a database to this release: Muster's own schema first, then the migrations of each named function
 * (`functions/<name>/migrations`), each recorded in a separate table. Returns the names of the applied
 * migrations; the list is empty if there was nothing to do.
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

/** Opens a session for migrations and grants, without a statement timeout. */
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

/** Checks first, because `create schema if not exists` requires the right to create one even if it exists. */
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
    // The search path. A function's migrations may use objects in public without naming the schema.
    schema: table === 'migration' ? 'pg_catalog' : 'public',
    checkOrder: true,
    // The caller holds one lock for all migrations, and waits for it; the library would give up.
    noLock: true,
    logger,
  });
  return done.map((migration) => migration.name);
}
