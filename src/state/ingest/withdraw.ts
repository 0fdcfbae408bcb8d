import { isBadValue } from '../database/database.ts';
import { REMOVED, type MemberRow } from './member.ts';
import type { Store } from './store.ts';

/** Removes a row whose new values can't be stored from its old set, which it has left nevertheless. */
export async function withdraw(store: Store, rows: readonly MemberRow[]): Promise<void> {
  try {
    await store.ingest(rows.map((row) => ({ ...row, ...REMOVED, history: null })));
  } catch (error) {
    if (!isBadValue(error)) throw error; // its id can't be stored either
  }
}
