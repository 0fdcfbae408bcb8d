import { existsSync } from 'node:fs';

/** RETURNING old and new, on which ingest-changes.sql rests, came with PostgreSQL 18. */
export const OLDEST_SERVER = 180_000;

/** Taken for the whole run, so that twenty jobs started at once do the work of one. */
export const MIGRATION_LOCK = 0x6d757374;

/** Where the migrations lie, Muster's own first, and the table in schema `muster` that counts them. */
export function migrationsOf(functions: readonly string[]): { folder: URL; table: string }[] {
  const own = { folder: new URL('migrations/', import.meta.url), table: 'migration' };
  const others = functions.map((name) => ({
    folder: new URL(`../../../functions/${name}/migrations/`, import.meta.url),
    table: `migration_${name.replaceAll('-', '_')}`,
  }));
  return [own, ...others.filter(({ folder }) => existsSync(folder))];
}
