import type { RowChange, TruncateChange } from '../change.ts';
import { describePosition } from '../binlog-position.ts';
import type { Database } from '../database/database.ts';
import { refuseEvents } from './event-version.ts';

/** Boundary between two epochs of a source's log: the database was restored or recreated. */
interface Boundary {
  /** Commit time of the first change of the new epoch, epoch ms. */
  readonly beganAt: number;
  /** Commit time and position of the newest change seen in the previous epoch. */
  readonly endedAt: number;
  readonly endedLsn: bigint;
}

/** The epochs of a source: the first one, and the boundary at which each later one begins. */
export interface EpochsOfSource {
  readonly firstEpoch: number;
  readonly boundaries: readonly Boundary[];
}

/**
 * Returns the epoch in which a change was committed, regardless of when it arrives. Returns null if that is
 * undecidable: between the newest change seen of one epoch and the first one of the next, at a position that
 * both logs contain.
 */
export function epochOf(
  epochs: EpochsOfSource,
  { at, lsn }: RowChange | TruncateChange,
): number | null {
  for (let i = epochs.boundaries.length - 1; i >= 0; i--) {
    const boundary = epochs.boundaries[i]!;
    if (at >= boundary.beganAt) return epochs.firstEpoch + i + 1;
    if (at <= boundary.endedAt) continue;
    // an epoch in which no change was seen has no end to compare with
    const before = epochs.boundaries[i - 1];
    if (before !== undefined && at < before.beganAt) continue;
    return lsn !== null && lsn > boundary.endedLsn ? epochs.firstEpoch + i : null;
  }
  return epochs.firstEpoch;
}

/** Explains why {@link epochOf} returned null. */
export function describeUndecided(
  epochs: EpochsOfSource,
  change: RowChange | TruncateChange,
): string {
  const { source, at } = change;
  const boundary = epochs.boundaries.find(({ endedAt, beganAt }) => endedAt < at && at < beganAt)!;
  return `${describePosition(change)} of source '${source}' was committed at ${time(at)}, after ${time(boundary.endedAt)}, the newest change seen before the source was restored or recreated, and before ${time(boundary.beganAt)}, the first change after that: it can't be determined from which of the two logs it is. To read the row as it is now, run an incremental snapshot of the table`;
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

/**
 * Begins a new epoch of a source whose log started over at `since` (epoch ms), by default at the first change
 * that was parked because the log seemed to have started over. Throws if a later change has been ingested.
 */
export async function bumpEpoch(
  database: Database,
  source: string,
  since: number | null = null,
): Promise<{ readonly epoch: number; readonly beganAt: number }> {
  refuseEvents(source);
  const { rows } = await database.control.query<{ epoch: number; beganAt: string }>(
    `update muster.source
     set epochs = epochs || jsonb_build_array(jsonb_build_object(
           'beganAt', greatest(coalesce($2::bigint, restarted_at, (extract(epoch from clock_timestamp()) * 1000)::bigint), at + 1),
           'endedAt', at, 'endedLsn', lsn::text)),
         lsn = 0, at = 0, handled_at = 0, restarted_at = null, updated_at = now()
     where name = $1 and ($2::bigint is null or $2 > at)
     returning epoch, epochs -> -1 ->> 'beganAt' as "beganAt"`,
    [source, since],
  );
  if (rows[0] !== undefined) return { epoch: rows[0].epoch, beganAt: Number(rows[0].beganAt) };
  const known = await database.control.query<{ at: string }>(
    'select at from muster.source where name = $1',
    [source],
  );
  if (known.rows[0] === undefined) {
    throw new Error(`no event of the source '${source}' has arrived yet`);
  }
  const newest = new Date(Number(known.rows[0].at)).toISOString();
  throw new Error(
    `a change of source '${source}' that was committed at ${newest} has been ingested: the new epoch can't have begun before that`,
  );
}
