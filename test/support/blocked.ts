import type { TestDatabase } from './test.ts';
import { until } from './until.ts';

/**
 * Waits until so many sessions of this database wait for a lock: that is how races are put in order.
 * `like` narrows it to those whose statement matches.
 */
export async function blocked(db: TestDatabase, sessions = 1, like = '%'): Promise<void> {
  await until(async () => {
    const rows = await db.query(
      `select from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock' and query like $1`,
      [like],
    );
    return rows.length >= sessions;
  });
}
