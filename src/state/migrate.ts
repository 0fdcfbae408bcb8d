import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { MIGRATION_LOCK, migrationsOf, OLDEST_SERVER } from './migrations.ts';

const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/**
 * Brings a database to this release: Muster's own schema, then the migrations of each named function
 * (`functions/<name>/migrations`), each counted in a table of its own. Returns the names of those
 * applied; an empty list means that there was nothing to do.
 */
export async function migrate(url: string, functions: readonly string[]): Promise<string[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'muster migrate' });
  await client.connect();
  try {
    await requireServer(client);
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const applied: string[] = [];
    for (const { folder, table } of migrationsOf(functions)) {
      applied.push(...(await apply(client, folder, table)));
    }
    return applied;
  } finally {
    await client.end();
  }
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

async function apply(client: pg.Client, folder: URL, table: string): Promise<string[]> {
  const done = await runner({
    dbClient: client,
    dir: fileURLToPath(folder),
    direction: 'up',
    migrationsTable: table,
    migrationsSchema: 'muster',
    createMigrationsSchema: true,
    schema: 'public',
    checkOrder: true,
    // one session-wide lock is held by the caller, who waits where the library would give up
    noLock: true,
    logger,
  });
  return done.map((migration) => migration.name);
}
