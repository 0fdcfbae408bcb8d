import type { Tx } from '../../function.ts';
import { sql } from '../sql.ts';

const LIST_SETS = sql('list-sets');

export interface MissingPart {
  readonly part: string;
  readonly have: number;
  readonly need: number;
}

/** The status of a set. */
export interface SetStatus {
  readonly function: string;
  readonly key: string;
  readonly status: 'waiting' | 'complete' | 'running' | 'done' | 'failed';
  readonly overdue: boolean;
  /** When it entered this status; for a waiting set, when the first of its rows arrived. */
  readonly since: Date | null;
  /** Deadline of a set that is overdue. */
  readonly overdueSince: Date | null;
  /** Parts of which a waiting set has too few rows. */
  readonly missing: readonly MissingPart[];
  readonly attempt: number | null;
  readonly error: string | null;
}

export interface SetFilter {
  /** By name; null = all. */
  readonly function: string | null;
  readonly status: SetStatus['status'] | null;
  readonly overdue: boolean;
}

/** Lists sets, those longest in their status first; sets that are done come last. */
export async function listSets(
  tx: Tx,
  { function: fn, status, overdue }: SetFilter,
  limit: number,
): Promise<SetStatus[]> {
  // It reads all sets and joins the leased ones: a nested loop would compare each set with each lease.
  await tx.query('set local enable_hashjoin = on');
  return (await tx.query<SetStatus>(LIST_SETS.text, [fn, status, overdue, limit])).rows;
}
