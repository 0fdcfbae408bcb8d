import { transaction, type Database } from './database.ts';
import { sql } from './sql.ts';

const DUE_TIMERS = sql('due-timers');
const LOCK_SETS = sql('lock-sets');
const FIRE_TIMERS = sql('fire-timers');
const PAGE = 100;

/** A set that did not become whole in time. */
export interface Overdue {
  readonly function: string;
  readonly key: string;
  readonly missing: readonly {
    readonly part: string;
    readonly have: number;
    readonly need: number;
  }[];
}

/** Reports sets past their deadline, each once; gives back those of one page. */
export async function fireTimers(
  database: Database,
  functions: readonly number[],
): Promise<Overdue[]> {
  const due = await database.control.query<{ function: number; key: string }>({
    ...DUE_TIMERS,
    values: [functions, PAGE],
  });
  if (due.rows.length === 0) return [];
  const names = [due.rows.map((row) => row.function), due.rows.map((row) => row.key)];
  return transaction(database.control, async (client) => {
    await client.query({ ...LOCK_SETS, values: names });
    return (await client.query<Overdue>({ ...FIRE_TIMERS, values: names })).rows;
  });
}
