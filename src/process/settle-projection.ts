import type { Log, Position, ProjectionDefinition } from '../function.ts';
import { authored } from '../state/projections/chunk-tx.ts';
import type { Database } from '../state/database/database.ts';
import { POSITIONS } from '../state/projections/positions.ts';

/** Class of the advisory locks below: 'sett'. */
const LOCK_CLASS = 0x73657474;

/**
 * Calls a projection's `settle` in a transaction, unless another process is doing so. Returns true if it has
 * more to do at once. The lock ends with the transaction, and therefore also with the process.
 */
export async function settleProjection(
  database: Database,
  fn: number,
  definition: ProjectionDefinition,
  log: Log,
): Promise<boolean> {
  let more = false;
  await authored(database.chunks, async (transaction) => {
    const { rows } = await transaction.query<{ held: boolean; now: Date }>(
      'select pg_try_advisory_xact_lock($1, $2) as held, now() as now',
      [LOCK_CLASS, fn],
    );
    const { held, now } = rows[0]!;
    if (!held) return false;
    const positions = await transaction.query<Position>(POSITIONS, [fn, definition.topic]);
    more =
      (await definition.settle?.(transaction.tx, { positions: positions.rows, now, log })) === true;
    return true;
  });
  return more;
}
