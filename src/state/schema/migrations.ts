import { existsSync } from 'node:fs';

/** ingest-changes.sql depends on RETURNING old and new, which PostgreSQL 18 introduced. */
export const OLDEST_SERVER = 180_000;

/** Advisory lock, held for the whole migration, so that concurrent jobs run one after the other. */
export const MIGRATION_LOCK = 0x6d757374;

/** Returns the folders with migrations, Muster's own first, each with the table in schema `muster` that records them. */
export function migrationsOf(functions: readonly string[]): { folder: URL; table: string }[] {
  const own = { folder: new URL('migrations/', import.meta.url), table: 'migration' };
  const others = functions.map((name) => ({
    folder: new URL(`../../../functions/${name}/migrations/`, import.meta.url),
    table: `migration_${name.replaceAll('-', '_')}`,
  }));
  return [own, ...others.filter(({ folder }) => existsSync(folder))];
}
