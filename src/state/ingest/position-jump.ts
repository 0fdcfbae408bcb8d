import {
  binlogPosition,
  describePosition,
  formatPosition,
  isInAnotherFile,
} from '../binlog-position.ts';
import type { RowChange, TruncateChange } from '../change.ts';
import { isNewTransaction, isOfNewServer, isOvertaken, keyOf, type Gtids } from './gtids.ts';

/** A commit time further ahead of this process' clock comes from a wrong clock, and is capped. */
const CLOCK_AHEAD_MS = 60_000;
const JUMP_BACK_MS = 5 * 60_000;
/** How far a position may be ahead of the newest one, plus the same again per second between their commits. */
const AHEAD_BYTES = 1n << 30n;
/** The same for a binlog, whose files have any size: a server restart begins a new one, too. */
const AHEAD_FILES = 100n;

/** The newest position seen of a source. */
export interface NewestPosition {
  readonly lsn: bigint;
  /** Latest commit time seen, epoch ms. */
  readonly at: number;
  /** When the connector last handled a change that specifies it, epoch ms; 0 = none did. Binlogs only. */
  readonly handledAt: number;
  /** The transactions seen, of a binlog with GTIDs. */
  readonly gtids: Gtids;
  /** Earliest commit of the changes whose log seems to have started over; null = it does not. */
  readonly restartedAt: number | null;
}

type Change = RowChange | TruncateChange;

/**
 * Returns whether a change below the newest position belongs to a log that started over. `at` is its commit time,
 * capped by this process' clock. A redelivery or replay goes back but is not later.
 *
 * A log position of PostgreSQL: it was committed more than 5 minutes after the newest one, and no commit at or
 * above the newest position precedes it. A long transaction goes back and is later, but reports the commits that
 * precede it.
 *
 * A binlog is in the order of commits, and the connector handles it in that order. So a change below the newest
 * one that is both committed and handled later is in another binlog, however short the time in between: a
 * failover takes seconds, and in five minutes many changes would be lost. Messages that lack the time of
 * handling (CloudEventsConverter sends none) are decided by the 5 minutes, because a commit time of a binlog
 * may be that of the beginning of its statement.
 */
export function hasStartedOver(newest: NewestPosition, change: Change, at: number): boolean {
  if (change.log === 'binlog' && newest.handledAt > 0) {
    const handledAt = handlingTimeOf(change);
    if (handledAt !== null) return handledAt > newest.handledAt && at > newest.at;
  }
  const outlived = change.lastCommit !== null && change.lastCommit >= newest.lsn;
  return !outlived && at > newest.at + JUMP_BACK_MS;
}

/**
 * Returns whether the connector reads another server, as GTIDs tell: a failover. Debezium continues only at a server
 * that has all transactions of the offset it continues from.
 *
 * The connector handles a binlog in its order. So a transaction that is handled later and is new, but at a lower
 * position, is in another binlog, whatever the times of the commits say: they may be equal, because those of MariaDB are
 * whole seconds. A position that is too far ahead for one log has the same explanation, also of a transaction that is
 * read again. And what a server commits that never did so before is in another binlog most likely, at any position:
 * so it does not matter whether this process knows the newest one of the old log.
 *
 * If this is wrong (several servers may commit what is in one log), the new epoch contains what the connector handles
 * from then on, in its order, and at worst a change of a partition that lags is parked. A row that is read again shows
 * an old value until its newest change has been read again, too.
 *
 * A log whose numbers start over (`RESET MASTER`, a restored server) usually has no new transactions: a person decides.
 */
export function hasMoved(newest: NewestPosition, change: Change, at: number): boolean {
  const { gtid, lsn } = change;
  if (gtid === undefined || newest.gtids.size === 0 || newest.restartedAt !== null) return false;
  const handledAt = handlingTimeOf(change);
  if (handledAt === null || newest.handledAt === 0 || handledAt <= newest.handledAt) return false;
  if (isNewTransaction(newest.gtids, gtid)) {
    if (lsn! < newest.lsn || isOfNewServer(newest.gtids, gtid)) return true;
  }
  if (whyAhead(newest, change, at) !== null) return true;
  // No file has a part of a transaction: the connector was reading the newest one when it lost the old server.
  const isCut = lsn! < newest.lsn && isInAnotherFile(lsn!, newest.lsn);
  return isCut && !isOvertaken(newest.gtids, gtid) && newest.gtids.has(keyOf(gtid));
}

/** Returns when a change was committed, capped by this process' clock. */
export function commitTimeOf(change: Change): number {
  return Math.min(change.at, Date.now() + CLOCK_AHEAD_MS);
}

/** Returns when the connector handled a change of a binlog; null if its message does not specify it. */
export function handlingTimeOf(change: Change): number | null {
  if (change.log !== 'binlog') return null;
  const isRead = change.kind === 'row' && change.op === 'r';
  return change.handledAt ?? (isRead ? change.at : null);
}

export function describeRestart(newest: NewestPosition, change: Change, at: number): string {
  const later = Math.round((at - newest.at) / 1000);
  const cause =
    change.log === 'binlog'
      ? 'did the binlog start over, or does the connector read another server'
      : 'was the source restored or recreated';
  return `${describePosition(change)} of source '${change.source}' is below ${formatPosition(change, newest.lsn)}, the newest seen, but was committed ${later} s later: ${cause}? If so, run: muster epoch bump ${change.source}`;
}

/**
 * Returns whether a change waits until a new epoch begins, because the binlog has started over and it was committed
 * since. The positions of the new binlog pass those of the old one at some time: if such changes were ingested, the
 * new epoch could begin only after them, and the changes that are parked would be of the old one, and stale.
 */
export function waitsForEpoch({ restartedAt }: NewestPosition, change: Change): boolean {
  return change.log === 'binlog' && restartedAt !== null && change.at >= restartedAt;
}

export function describeWait(newest: NewestPosition, change: Change): string {
  const since = new Date(newest.restartedAt!).toISOString();
  return `${describePosition(change)} of source '${change.source}' was committed after ${since}, when its binlog started over, or the connector began to read another server. To begin a new epoch with the first change after that, run: muster epoch bump ${change.source}`;
}

/** Returns why a position can't have been reached; null if it can. */
export function whyAhead(newest: NewestPosition, change: Change, at: number): string | null {
  const seconds = BigInt(Math.max(0, Math.floor((at - newest.at) / 1000)));
  const isBinlog = change.log === 'binlog';
  const unit = isBinlog ? binlogPosition(AHEAD_FILES, 0n) : AHEAD_BYTES;
  const ahead = change.lsn! - newest.lsn;
  if (newest.lsn === 0n || ahead <= unit * (1n + seconds)) return null;
  const distance = isBinlog ? `${ahead / binlogPosition(1n, 0n)} files` : `${ahead} bytes`;
  const advice = isBinlog
    ? `: does the connector read another server? If so, run: muster epoch bump ${change.source}`
    : '';
  return `${describePosition(change)} of source '${change.source}' is ${distance} ahead of ${formatPosition(change, newest.lsn)}, the newest seen, and only ${seconds} s later${advice}`;
}
