import { readFileSync } from 'node:fs';
import pg from 'pg';
import { openMigrator } from './migrate.ts';
import { MIGRATION_LOCK, migrationsOf } from './migrations.ts';

export const ROLES = ['muster_intake', 'muster_run', 'muster_read', 'muster_keda'] as const;

/**
 * Creates missing roles, if the user has the right to, and grants each role its privileges (grants.sql);
 * muster_run and muster_read also get privileges in the schemas of functions that have migrations. It must run
 * after every migration, because roles belong to the server and may be created later than the tables.
 *
 * Resolves with the roles that are still missing and that another user must create; nothing is granted then.
 */
export async function grantRoles(url: string, functions: readonly string[]): Promise<string[]> {
  const client = await openMigrator(url);
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const missing: string[] = [];
    for (const role of ROLES) if (!(await ensureRole(client, role))) missing.push(role);
    if (missing.length > 0) return missing;
    await client.query('begin');
    await client.query(readFileSync(new URL('grants.sql', import.meta.url), 'utf8'));
    for (const fn of functions) await grantTables(client, fn);
    await client.query('commit');
    return [];
  } finally {
    await client.end();
  }
}

/** Returns false if the role does not exist and the user may not create it. */
async function ensureRole(client: pg.Client, role: string): Promise<boolean> {
  const { rowCount } = await client.query('select from pg_roles where rolname = $1', [role]);
  if (rowCount !== 0) return true;
  try {
    await client.query(`create role ${role} nologin`);
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    // the migration of another database on the server has just created it
    if (code === '42710' || code === '23505') return true;
    if (code === '42501') return false;
    throw error;
  }
}

/**
 * Grants privileges in the schema that has the function's name, where the tables are that its handler writes to.
 * A schema with a table of some part belongs to the source and has the same name by chance: nothing is granted
 * there.
 */
async function grantTables(client: pg.Client, fn: string): Promise<void> {
  if (!migrationsOf([fn]).some(({ owner }) => owner === fn)) return;
  const schema = fn.replaceAll('-', '_');
  const { rowCount } = await client.query(
    `select from pg_namespace where nspname = $1
       and not exists (select from muster.part where starts_with(specification ->> 'table', $1 || '.'))`,
    [schema],
  );
  if (rowCount === 0) return;
  const name = pg.escapeIdentifier(schema);
  await client.query(`
    grant usage on schema ${name} to muster_run, muster_read;
    grant select, insert, update, delete on all tables in schema ${name} to muster_run;
    grant usage on all sequences in schema ${name} to muster_run;
    grant execute on all functions in schema ${name} to muster_run;
    grant select on all tables in schema ${name} to muster_read`);
}
