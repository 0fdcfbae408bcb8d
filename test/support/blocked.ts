import pg from 'pg';
import { onTestFinished } from 'vitest';
import type { TestDatabase } from './test.ts';
import { until } from './until.ts';

/**
 * Waits until this number of sessions of the database wait for a lock, which puts races in a fixed order.
 * `like` restricts it to sessions whose statement matches.
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

/**
 * Takes locks with a statement in a separate transaction, so that others wait for them. Returns a function
 * that commits it. If the test fails before that, the locks are released at the end of the test.
 */
export async function hold(
  db: TestDatabase,
  text: string,
  values: unknown[] = [],
): Promise<(end?: 'commit' | 'rollback') => Promise<void>> {
  const client = new pg.Client({ connectionString: db.url, application_name: 'holder' });
  client.on('error', () => {});
  await client.connect();
  let ended: Promise<void> | undefined;
  onTestFinished(() => (ended ??= client.end()));
  await client.query('begin');
  await client.query(text, values);
  return async (end = 'commit') => {
    await client.query(end);
    await (ended ??= client.end());
  };
}
