import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import type pg from 'pg';
import { mayPass, misconfigured, sqlState } from '../database/database.ts';
import { openSession, OWN_PATH, SESSION } from '../database/session.ts';
import { MIGRATION_LOCK, migrationsOf, OLDEST_SERVER, type MigrationFolder } from './migrations.ts';

/** The number decides the order. */
const MIGRATION_FILE = /^\d{3,}_[\w-]+\.sql$/;

/**
 * Migrates a database to this release: Muster's own schema, then the migrations of each named function
 * (`functions/<name>/migrations`), each listed in a table of its own. Returns the names of the applied migrations,
 * those of a function as `<function>/<migration>`. Throws an error that names the file, and the line if PostgreSQL
 * reports one.
 */
export async function migrate(
  url: string,
  functions: readonly string[],
  folders: readonly MigrationFolder[] = migrationsOf(functions),
): Promise<string[]> {
  for (const folder of folders) requireNames(folder);
  const client = await openMigrator(url);
  try {
    await requireServer(client);
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await ensureSchema(client);
    const applied: string[] = [];
    for (const folder of folders) applied.push(...(await apply(client, folder)));
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
  const { rows } = await client.query<Record<'number' | 'version' | 'encoding' | 'name', string>>(
    `select current_setting('server_version_num') as number, current_setting('server_version') as version,
            current_setting('server_encoding') as encoding, current_database() as name`,
  );
  const { number, version, encoding, name } = rows[0]!;
  if (Number(number) < OLDEST_SERVER) {
    throw new Error(`PostgreSQL ${version} is too old for Muster's state: 16 or newer is needed`);
  }
  if (encoding !== 'UTF8') {
    throw new Error(
      `the encoding of the database ${name} is ${encoding}, which can't store every text: create one with encoding 'UTF8' locale 'C' template template0`,
    );
  }
}

/** Checks first, because `create schema if not exists` requires the right to create one even if it exists. */
async function ensureSchema(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query(`select from pg_namespace where nspname = 'muster'`);
  if (rowCount === 0) await client.query('create schema muster');
}

async function apply(client: pg.Client, migrations: MigrationFolder): Promise<string[]> {
  const { folder, table, owner } = migrations;
  let current: string | null = null;
  const note = (line: string) => {
    current = /^### MIGRATION (.+) \(UP\) ###$/.exec(line)?.[1] ?? current;
  };
  try {
    const done = await runner({
      dbClient: client,
      dir: fileURLToPath(folder),
      direction: 'up',
      migrationsTable: table,
      migrationsSchema: 'muster',
      // The search path; migrations of a function may name objects of `public` without their schema.
      schema: owner === null ? 'pg_catalog' : 'public',
      checkOrder: true,
      // The caller holds one session-wide lock and waits for it, where the library would give up.
      noLock: true,
      logger: { debug: () => {}, info: note, warn: () => {}, error: () => {} },
    });
    return done.map(({ name }) => (owner === null ? name : `${owner}/${name}`));
  } catch (error) {
    throw placed(error, migrations, current);
  }
}

/** Requires names by which migrations can be put in order, before one is applied. */
function requireNames(migrations: MigrationFolder): void {
  for (const file of readdirSync(migrations.folder)) {
    if (MIGRATION_FILE.test(file)) continue;
    throw new Error(
      `${pathOf(migrations, file)}: name it <number>_<what>.sql, such as 001_tables.sql: the numbers are the order of migrations`,
    );
  }
}

/** Adds to an error where it occurred and what to do; returns errors of the connection as they are. */
function placed(error: unknown, migrations: MigrationFolder, current: string | null): unknown {
  if (!(error instanceof Error) || mayPass(error) || misconfigured(error) !== null) return error;
  const order = /^Not run migration (.+) is preceding already run migration (.+)$/.exec(
    error.message,
  );
  if (order !== null) {
    const [, missing, applied] = order;
    return new Error(
      `${pathOf(migrations, `${missing}.sql`)} is not applied, but ${applied} after it is: give a new migration a higher number; if ${applied} was renamed, record that: update muster.${migrations.table} set name = '${missing}' where name = '${applied}'`,
      { cause: error },
    );
  }
  const state = sqlState(error);
  if (current === null || state === null) return error;
  const file = `${current}.sql`;
  const { position, hint } = error as { position?: string; hint?: string };
  const text = readFileSync(new URL(file, migrations.folder), 'utf8');
  const line =
    position === undefined ? '' : `:${text.slice(0, Number(position)).split('\n').length}`;
  return new Error(
    `${pathOf(migrations, file)}${line}: ${error.message} (SQLSTATE ${state})${hint === undefined ? '' : `; ${hint}`}`,
    { cause: error },
  );
}

function pathOf({ folder }: MigrationFolder, file: string): string {
  return relative(process.cwd(), join(fileURLToPath(folder), file));
}
