import type { QueryConfig } from 'pg';
import { transaction, type Database } from '../database/database.ts';
import { sql } from '../sql.ts';

const ANY_DEADLINE = sql('any-deadline');
const DUE_DEADLINES = sql('due-deadlines');
const LOCK_SETS = sql('lock-sets');
const FIRE_DEADLINES = sql('fire-deadlines');
const NEW_DEADLINES = sql('new-deadlines');
const NEXT_DEADLINES = sql('next-deadlines');
const PRUNE_DEADLINES = sql('prune-deadlines');

/** Deadlines per statement; each has the sets of one batch. */
const PAGE = 8;
/** Most sets are complete by then. */
const PRUNE_AFTER_SECONDS = 10;

/** A set that was not complete at its deadline. */
interface Overdue {
  readonly function: string;
  readonly key: string;
  readonly missing: readonly {
    readonly part: string;
    readonly have: number;
    readonly need: number;
  }[];
}

/** Result of one page of deadlines. */
export interface Fired {
  readonly overdue: readonly Overdue[];
  /** Whether further deadlines may be due. */
  readonly more: boolean;
}

interface Deadline {
  id: string;
  function: number;
  /** Hashes of the keys of its sets. */
  keys: string[];
}

/** Reports the sets past their deadline, each once, and returns them. */
export async function fireDeadlines(
  database: Database,
  functions: readonly number[],
): Promise<Fired> {
  // usually no deadline is due, and no transaction is needed
  const { rowCount } = await database.control.query({ ...ANY_DEADLINE, values: [functions] });
  if (rowCount === 0) return { overdue: [], more: false };
  return transaction(database.control, async (client) => {
    const { rows: deadlines } = await client.query<Deadline>({
      ...DUE_DEADLINES,
      values: [functions, PAGE],
    });
    if (deadlines.length === 0) return { overdue: [], more: false };
    const sets = deadlines.flatMap(({ id, function: fn, keys }) =>
      keys.map((hash) => [id, fn, hash] as const),
    );
    const names = [sets.map(([, fn]) => fn), sets.map(([, , hash]) => hash)];
    if (sets.length > 0) await client.query({ ...LOCK_SETS, values: names });
    const { rows: overdue } = await client.query<Overdue>({
      ...FIRE_DEADLINES,
      values: [deadlines.map(({ id }) => id), sets.map(([id]) => id), ...names],
    });
    return { overdue, more: deadlines.length === PAGE };
  });
}

/** Removes complete sets from their deadlines, soon after their batch; returns true if there may be more to do. */
export async function pruneDeadlines(
  database: Database,
  functions: readonly number[],
  afterSeconds = PRUNE_AFTER_SECONDS,
): Promise<boolean> {
  const ids = await prune(database, { ...NEW_DEADLINES, values: [functions, afterSeconds, PAGE] });
  return ids.length === PAGE;
}

/**
 * Removes complete sets from all deadlines, within `limitMs`. Called at shutdown, so that no process is woken
 * later for sets that are complete by then.
 */
export async function pruneAll(
  database: Database,
  functions: readonly number[],
  limitMs: number,
): Promise<void> {
  const end = performance.now() + limitMs;
  let after: string | undefined = '0';
  while (after !== undefined && performance.now() < end) {
    const ids = await prune(database, { ...NEXT_DEADLINES, values: [functions, after, PAGE] });
    after = ids.at(-1);
  }
}

/** Prunes a page of deadlines; returns their ids. */
async function prune(database: Database, page: QueryConfig): Promise<string[]> {
  const { rows } = await database.control.query<{ id: string }>(page);
  const ids = rows.map(({ id }) => id);
  if (ids.length > 0) await database.control.query({ ...PRUNE_DEADLINES, values: [ids] });
  return ids;
}
