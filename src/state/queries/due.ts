import { unavailable, type Database } from '../database/database.ts';

/**
 * Counts the work of these functions that is running or due, in all processes: the number by which KEDA scales.
 * Throws `Unavailable`.
 */
export async function countDue(database: Database, functions: readonly string[]): Promise<number> {
  const text =
    'select coalesce(sum(total), 0)::int as total from muster.due where function = any($1)';
  try {
    const { rows } = await database.control.query<{ total: number }>(text, [functions]);
    return rows[0]!.total;
  } catch (error) {
    throw unavailable(error);
  }
}
