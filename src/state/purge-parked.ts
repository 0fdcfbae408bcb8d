import type { Database } from './database/database.ts';
import { sql } from './sql.ts';

const PURGE_PARKED = sql('purge-parked');
const PAGE = 500;

/**
 * Deletes events that were parked more than `seconds` ago and returns their number. Safe to run in several
 * processes at the same time: each event is deleted, and counted, by one of them.
 */
export async function purgeParked(
  database: Database,
  seconds: number,
  stopped: () => boolean = () => false,
): Promise<number> {
  let purged = 0;
  for (let removed = PAGE; removed === PAGE && !stopped();) {
    const { rowCount } = await database.control.query({
      ...PURGE_PARKED,
      values: [seconds, PAGE],
    });
    removed = rowCount ?? 0;
    purged += removed;
  }
  return purged;
}
