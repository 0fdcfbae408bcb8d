import type { MemberRow } from '../state/ingest/member.ts';
import type { HeldRow } from '../state/queries/held-rows.ts';

/**
 * missing: the table has the row in a set, and it is not held. moved: it is held in another set. left: the row is no
 * longer in a set of its part. gone: the table does not have the row.
 */
export type Kind = 'missing' | 'moved' | 'left' | 'gone';

/** A row that is held otherwise than its table has it. */
export interface Difference {
  readonly part: string;
  readonly id: string;
  readonly kind: Kind;
  /** Key of its set in the table; null if it is in none. */
  readonly key: string | null;
  /** Key of the set in which it is held; null if it is in none. */
  readonly heldKey: string | null;
}

/** Returns how a row that is held differs from the one in the table; null if it does not. */
export function kindOf(inTable: MemberRow | null, held: HeldRow): Kind | null {
  if (inTable === null) return held.inSet ? 'gone' : null;
  if (!inTable.inSet) return held.inSet ? 'left' : null;
  if (held.inSet) return held.hasKey ? null : 'moved';
  // The rows of a set that is done and purged are not held any more.
  return held.isPurged ? null : 'missing';
}
