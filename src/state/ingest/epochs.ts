import type { RowChange, TruncateChange } from '../change.ts';
import { describePosition } from '../binlog-position.ts';
import type { Database } from '../database/database.ts';
import { refuseEvents } from './event-version.ts';
import { isNewTransaction, type Gtids } from './gtids.ts';
import { handlingTimeOf } from './position-jump.ts';
import { MAX_EPOCH } from '../version.ts';

/**
 * Boundary between two epochs of a source's log: the database was restored or recreated, or the connector began to
 * read another server.
 */
interface Boundary {
  /** Commit time of the first change of the new epoch, epoch ms. */
  readonly beganAt: number;
  /** Commit time and position of the newest change seen in the previous epoch. */
  readonly endedAt: number;
  readonly endedLsn: bigint;
  /** Of an epoch that {@link beginEpoch} began. */
  readonly failover?: {
    /** When the connector handled the first change of the new epoch, and the newest one of the previous epoch. */
    readonly beganAt: number;
    readonly endedAt: number;
    /** The transactions seen before it. */
    readonly gtids: Gtids;
  };
}

/** The epochs of a source: the first one, and the boundary at which each later one begins. */
export interface EpochsOfSource {
  readonly firstEpoch: number;
  readonly boundaries: readonly Boundary[];
}

type Change = RowChange | TruncateChange;

/** Where a change is relative to a boundary, by the times of both. */
function sideOf({ failover, ...committed }: Boundary, change: Change) {
  const handledAt = failover === undefined ? null : handlingTimeOf(change);
  const [at, boundary] = handledAt === null ? [change.at, committed] : [handledAt, failover!];
  if (at >= boundary.beganAt) return 'after';
  return at <= boundary.endedAt ? 'before' : 'between';
}

/**
 * Returns the epoch of a change, regardless of when it arrives: the one in which it was committed or, after a failover,
 * the one whose log the connector was reading. Returns null if that is undecidable: between the newest change seen of
 * one epoch and the first one of the next, at a position that both logs contain.
 *
 * After a failover its transaction decides. What was seen before may be read again from either server, and is old. What
 * is new is behind everything seen in the old log: at another position it is in the new one.
 */
export function epochOf(epochs: EpochsOfSource, change: Change): number | null {
  const { firstEpoch, boundaries } = epochs;
  for (let i = boundaries.length - 1; i >= 0; i--) {
    const boundary = boundaries[i]!;
    const side = sideOf(boundary, change);
    if (side === 'after') return firstEpoch + i + 1;
    // an epoch in which no change was seen has no end to compare with
    const before = boundaries[i - 1];
    const isOlder = before !== undefined && sideOf(before, change) !== 'after';
    if (side === 'before' || isOlder) continue;
    if (change.lsn !== null && change.lsn > boundary.endedLsn) return firstEpoch + i;
    const { gtid } = change;
    if (boundary.failover === undefined || gtid === undefined) return null;
    return firstEpoch + i + (isNewTransaction(boundary.failover.gtids, gtid) ? 1 : 0);
  }
  return firstEpoch;
}

/** Explains why {@link epochOf} returned null. */
export function describeUndecided(epochs: EpochsOfSource, change: Change): string {
  const { source, at } = change;
  const boundary = epochs.boundaries.find((each) => sideOf(each, change) === 'between')!;
  return `${describePosition(change)} of source '${source}' was committed at ${time(at)}, after ${time(boundary.endedAt)}, the newest change seen before the source was restored or recreated, and before ${time(boundary.beganAt)}, the first change after that: it can't be determined from which of the two logs it is. To read the row as it is now, run an incremental snapshot of the table`;
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

/**
 * Begins a new epoch of a source, with a change that is proven to be in another server's log (`hasMoved`). Returns false
 * if the source is no longer in the given epoch, or has got a change that was handled later.
 */
export async function beginEpoch(
  database: Database,
  change: Change,
  epoch: number,
): Promise<boolean> {
  const { rowCount } = await database.control.query(
    `update muster.source
     set epochs = epochs || jsonb_build_array(jsonb_build_object(
           'beganAt', greatest($3::bigint, at + 1), 'endedAt', at, 'endedLsn', lsn::text,
           'failover', jsonb_build_object('beganAt', $4::bigint, 'endedAt', handled_at, 'gtids', gtids))),
         lsn = 0, at = 0, handled_at = 0, updated_at = now()
     where name = $1 and epoch = $2 and handled_at < $4 and restarted_at is null`,
    [change.source, epoch, change.at, change.handledAt],
  );
  return rowCount! > 0;
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
         lsn = 0, at = 0, handled_at = 0, restarted_at = null, gtids = '{}', updated_at = now()
     where name = $1 and ($2::bigint is null or $2 > at) and epoch < ${MAX_EPOCH}
     returning epoch, epochs -> -1 ->> 'beganAt' as "beganAt"`,
    [source, since],
  );
  if (rows[0] !== undefined) return { epoch: rows[0].epoch, beganAt: Number(rows[0].beganAt) };
  const known = await database.control.query<{ at: string; epoch: number }>(
    'select at, epoch from muster.source where name = $1',
    [source],
  );
  if (known.rows[0] === undefined) {
    throw new Error(`no event of the source '${source}' has arrived yet`);
  }
  if (known.rows[0].epoch >= MAX_EPOCH) {
    throw new Error(`the source '${source}' is in its last epoch, ${MAX_EPOCH}`);
  }
  const newest = new Date(Number(known.rows[0].at)).toISOString();
  throw new Error(
    `a change of source '${source}' that was committed at ${newest} has been ingested: the new epoch can't have begun before that`,
  );
}
