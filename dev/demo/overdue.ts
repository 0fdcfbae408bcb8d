import type pg from 'pg';

/** The time after which an incomplete set is overdue in the demo. */
export const OVERDUE_AFTER = '10 seconds';

/**
 * Shortens the 15 minutes of the definition, which are too long for a demo. The definition itself stays
 * unchanged: a different one would supersede that of `muster serve` on the same database. A newer
 * definition resets the time, so this runs at each start.
 */
export async function shortenDeadline(client: pg.Client): Promise<void> {
  await client.query(`update muster.function set overdue_after = $1 where name = 'recordings'`, [
    OVERDUE_AFTER,
  ]);
}
