import type { RowChange, TruncateChange } from '../change.ts';
import type { Database } from '../database/database.ts';

/** Where an epoch of a source's log follows another one: the database was restored or made anew. */
interface Boundary {
  /** Commit time of the first change of the new epoch, epoch ms. */
  readonly beganAt: number;
  /** Of the newest change seen of the epoch before. */
  readonly endedAt: number;
  readonly endedLsn: bigint;
}

/** The epochs of a source: the first, and where each later one begins. */
export interface EpochsOfSource {
  readonly firstEpoch: number;
  readonly boundaries: readonly Boundary[];
}

/**
 * The epoch in which a change was committed, whenever it arrives; null where that can't be told: between
 * the newest change seen of one epoch and the first of the next, at a position that both logs have.
 */
export function epochOf(
  mark: EpochsOfSource,
  { at, lsn }: RowChange | TruncateChange,
): number | null {
  for (let i = mark.boundaries.length - 1; i >= 0; i--) {
    const boundary = mark.boundaries[i]!;
    if (at >= boundary.beganAt) return mark.firstEpoch + i + 1;
    if (at <= boundary.endedAt) continue;
    // of an epoch in which no change was seen, the end says nothing
    const before = mark.boundaries[i - 1];
    if (before !== undefined && at < before.beganAt) continue;
    return lsn !== null && lsn > boundary.endedLsn ? mark.firstEpoch + i : null;
  }
  return mark.firstEpoch;
}

/** Says why {@link epochOf} can't tell. */
export function describeUndecided(
  mark: EpochsOfSource,
  { source, at, lsn }: RowChange | TruncateChange,
): string {
  const boundary = mark.boundaries.find(({ endedAt, beganAt }) => endedAt < at && at < beganAt)!;
  return `LSN ${lsn} of source '${source}' was committed at ${time(at)}, after ${time(boundary.endedAt)}, the newest change seen before the source was restored or re-created, and before ${time(boundary.beganAt)}, the first after that: which log it is from can't be told. An incremental snapshot of the table reads the row as it is now`;
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

/** The log of a source started over at `since` (epoch ms; unless given, with the first change that seemed so). */
export async function bumpEpoch(
  database: Database,
  source: string,
  since: number | null = null,
): Promise<{ readonly epoch: number; readonly beganAt: number }> {
  const { rows } = await database.control.query<{ epoch: number; beganAt: string }>(
    `update muster.source
     set epochs = epochs || jsonb_build_array(jsonb_build_object(
           'beganAt', greatest(coalesce($2::bigint, restarted_at, (extract(epoch from clock_timestamp()) * 1000)::bigint), at + 1),
           'endedAt', at, 'endedLsn', lsn::text)),
         lsn = 0, at = 0, restarted_at = null, updated_at = now()
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
    throw new Error(`no event of a source '${source}' has arrived yet`);
  }
  const newest = new Date(Number(known.rows[0].at)).toISOString();
  throw new Error(
    `a change of source '${source}' that was committed at ${newest} has been ingested: the new epoch can't have begun before that`,
  );
}
