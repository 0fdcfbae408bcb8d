import { existsSync } from 'node:fs';
import { functionsFolder } from '../../definitions/function-files.ts';

/** The oldest server that the tests of the state run on. */
export const OLDEST_SERVER = 160_000;

/** Advisory lock, held for the whole migration, so that concurrent jobs run one after the other. */
export const MIGRATION_LOCK = 0x6d757374;

/** A folder of migrations. */
export interface MigrationFolder {
  readonly folder: URL;
  /** Table in schema `muster` that lists those applied. */
  readonly table: string;
  /** The function they belong to; null for Muster's own. */
  readonly owner: string | null;
}

/** Returns the folders of migrations in the order in which they are applied, Muster's own first. */
export function migrationsOf(functions: readonly string[]): MigrationFolder[] {
  const own = { folder: new URL('migrations/', import.meta.url), table: 'migration', owner: null };
  const others = functions.map((name) => ({
    folder: new URL(`${name}/migrations/`, functionsFolder()),
    table: `migration_${name.replaceAll('-', '_')}`,
    owner: name,
  }));
  return [own, ...others.filter(({ folder }) => existsSync(folder))];
}
