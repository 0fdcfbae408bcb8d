import type { Database } from '../database/database.ts';
import { sql } from '../sql.ts';

const LIST_SETS = sql('list-sets');

export interface MissingPart {
  readonly part: string;
  readonly have: number;
  readonly need: number;
}

/** How a set stands. */
export interface SetStatus {
  readonly function: string;
  readonly key: string;
  readonly status: 'waiting' | 'complete' | 'running' | 'done' | 'failed';
  readonly overdue: boolean;
  /** When it came into this status; of a waiting set, when the first of its rows arrived. */
  readonly since: Date | null;
  /** When the deadline of a set that is overdue passed. */
  readonly overdueSince: Date | null;
  /** Parts that a waiting set has too few rows of. */
  readonly missing: readonly MissingPart[];
  readonly attempt: number | null;
  readonly error: string | null;
}

export interface SetFilter {
  /** By name; null = all. */
  readonly function: string | null;
  readonly status: 'waiting' | 'failed' | null;
  readonly overdue: boolean;
}

/** Lists sets, those first that are in their status for longest; sets that are done come last. */
export async function listSets(
  database: Database,
  { function: fn, status, overdue }: SetFilter,
  limit: number,
): Promise<SetStatus[]> {
  const { rows } = await database.control.query<SetStatus>({
    ...LIST_SETS,
    values: [fn, status, overdue, limit],
  });
  return rows;
}
