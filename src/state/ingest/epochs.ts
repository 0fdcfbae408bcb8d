import type { RowChange, TruncateChange } from '../change.ts';
import { binlogPosition, describePosition } from '../binlog-position.ts';
import type { Database } from '../database/database.ts';
import { refuseEvents } from './event-version.ts';
import { isOfNewServer, isOvertaken, keyOf, storedGtids, type Gtids } from './gtids.ts';
import { commitTimeOf, handlingTimeOf } from './position-jump.ts';
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
    /** The position of the first change of the new epoch, and the server that committed it. */
    readonly beganLsn: bigint;
    readonly server: string;
  };
}

/** The epochs of a source: the first one, and the boundary at which each later one begins. */
export interface EpochsOfSource {
  readonly firstEpoch: number;
  readonly boundaries: readonly Boundary[];
}

type Change = RowChange | TruncateChange;

/** Returns the times by which a change is compared with a boundary: of handling, if both have it, or of the commit. */
function timesOf({ failover, ...committed }: Boundary, change: Change) {
  const handledAt = failover === undefined ? null : handlingTimeOf(change);
  return handledAt === null
    ? { what: 'committed', at: change.at, border: committed }
    : { what: 'handled', at: handledAt, border: failover! };
}

/** Where a change is relative to a boundary. */
function sideOf(boundary: Boundary, change: Change) {
  const { at, border } = timesOf(boundary, change);
  if (at >= border.beganAt) return 'after';
  return at <= border.endedAt ? 'before' : 'between';
}

/**
 * Returns the epoch of a change, regardless of when it arrives: the one in which it was committed or, after a failover,
 * the one whose log the connector was reading. Returns null if that is undecidable: between the newest change seen of
 * one epoch and the first one of the next, at a position that both logs may contain.
 */
export function epochOf(epochs: EpochsOfSource, change: Change): number | null {
  const found = find(epochs, change);
  return typeof found === 'number' ? found : null;
}

/** Returns the epoch of a change, or the boundary that leaves it undecided. */
function find({ firstEpoch, boundaries }: EpochsOfSource, change: Change): number | Boundary {
  for (let i = boundaries.length - 1; i >= 0; i--) {
    const boundary = boundaries[i]!;
    const side = sideOf(boundary, change);
    if (side === 'after') return firstEpoch + i + 1;
    // an epoch in which no change was seen has no end to compare with
    const before = boundaries[i - 1];
    const isOlder = before !== undefined && sideOf(before, change) !== 'after';
    if (side === 'before' || isOlder) continue;
    const isNew = isInNewLog(boundary, change);
    return isNew === null ? boundary : firstEpoch + i + (isNew ? 1 : 0);
  }
  return firstEpoch;
}

/**
 * Returns whether a change between two epochs is in the new log; null if that is undecidable. It was handled after
 * everything seen of the old log, so in that it is behind the end. And it was handled before the first change of the new
 * log that arrived, so in that it is not behind the beginning, unless the connector has read a part of it again.
 *
 * After a failover its transaction helps to decide. What was seen whole before may be read again from either server, and
 * is old. What the new server committed is new. A server of which nothing was seen, neither before nor at the border, has
 * come and gone meanwhile.
 */
function isInNewLog({ endedLsn, failover }: Boundary, change: Change): boolean | null {
  const isBehindEnd = change.lsn !== null && change.lsn > endedLsn;
  const { gtid } = change;
  if (failover === undefined || gtid === undefined) return isBehindEnd ? false : null;
  if (isOvertaken(failover.gtids, gtid)) return false;
  const mayBeNew = change.lsn! <= failover.beganLsn;
  if (mayBeNew && gtid.server === failover.server) return true;
  if (isOfNewServer(failover.gtids, gtid)) return null;
  if (mayBeNew !== isBehindEnd) return mayBeNew;
  // Files ahead of the old log, a position of the new one is above all of the old one, also in its epoch.
  const isFarAhead = change.lsn! - endedLsn > binlogPosition(1n, 0n);
  return mayBeNew && isFarAhead ? false : null;
}

/** Explains why {@link epochOf} returned null. */
export function describeUndecided(epochs: EpochsOfSource, change: Change): string {
  const { what, at, border } = timesOf(find(epochs, change) as Boundary, change);
  return `${describePosition(change)} of source '${change.source}' was ${what} at ${time(at)}, after ${time(border.endedAt)}, the newest change seen before the source failed over, or was restored or recreated, and before ${time(border.beganAt)}, the first change after that: it can't be determined from which of the two logs it is. To read the row as it is now, run an incremental snapshot of the table`;
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
  const gtid = change.gtid!;
  const own = new Map([[keyOf(gtid), gtid.number]]);
  const { rowCount } = await database.control.query(
    `update muster.source
     set epochs = epochs || jsonb_build_array(jsonb_build_object(
           'beganAt', greatest($3::bigint, at + 1), 'endedAt', at, 'endedLsn', lsn::text,
           'failover', jsonb_build_object(
             'beganAt', $4::bigint, 'endedAt', handled_at, 'beganLsn', ($5::bigint)::text, 'gtids', gtids, 'server', $6::text))),
         lsn = $5, at = $3, handled_at = $4, gtids = gtids || $7, updated_at = now()
     where name = $1 and epoch = $2 and handled_at < $4 and restarted_at is null`,
    [
      change.source,
      epoch,
      commitTimeOf(change),
      change.handledAt,
      change.lsn,
      gtid.server,
      storedGtids(own),
    ],
  );
  return rowCount! > 0;
}

/** Explains why a source can't begin another epoch. */
export function describeLastEpoch(source: string): string {
  return `the source '${source}' is in its last epoch, ${MAX_EPOCH}. To count from 0 again, run: muster source forget ${source}; then make the connector read its tables again (an incremental snapshot)`;
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
    throw new Error(describeLastEpoch(source));
  }
  const newest = new Date(Number(known.rows[0].at)).toISOString();
  throw new Error(
    `a change of source '${source}' that was committed at ${newest} has been ingested: the new epoch can't have begun before that`,
  );
}
