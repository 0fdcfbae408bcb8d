import type { PartOf } from '../definitions/registered-function.ts';
import type { Database } from '../state/database/database.ts';
import { loadMembers, measureSet, type StoredMember } from '../state/runs/load-members.ts';
import type { Lease } from '../state/lease.ts';
import { SetTooLarge } from './attempt-errors.ts';
import { LOAD_BYTES } from './loader.ts';

/**
 * Whether the set is so large that a process runs only one such set at a time. Throws {@link SetTooLarge} beyond
 * `maxBytes`, before any row is loaded.
 */
export async function isLargeSet(
  database: Database,
  lease: Lease,
  maxBytes: number,
): Promise<boolean> {
  const { rows, bytes } = await measureSet(database, lease);
  if (bytes > maxBytes) throw tooLarge(`${rows} rows with ${inMib(bytes)} MiB`, maxBytes);
  return bytes > LOAD_BYTES;
}

/** Loads the rows of one set. */
export async function loadSet(
  database: Database,
  partOf: PartOf,
  lease: Lease,
  maxBytes: number,
): Promise<readonly StoredMember[]> {
  // a quarter more than the limit when it was measured, because rows may have arrived in between
  const [set] = await loadMembers(database, partOf, [lease], 1.25 * maxBytes);
  if (set == null) {
    throw tooLarge('grown since it was measured, and now has too many bytes', maxBytes);
  }
  return set.members;
}

function tooLarge(what: string, maxBytes: number): SetTooLarge {
  return new SetTooLarge(
    `the set has ${what} of kept columns; the maximum is ${inMib(maxBytes)} MiB (SET_LIMIT_MIB)`,
  );
}

function inMib(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1).replace(/\.0$/, '');
}
