import { hash } from 'node:crypto';

/** Less than every hash: where paging along hashes begins. */
export const FIRST_HASH = '00000000-0000-0000-0000-000000000000';

/**
 * Returns the hash by which a set is named in the state: the first 16 bytes of the SHA-256 of its key, as a
 * `uuid` without hyphens, so that texts sort as the hashes do. Same as `muster.key_hash` in 002_functions.sql.
 */
export function keyHash(key: string): string {
  return hash('sha256', key).slice(0, 32);
}
