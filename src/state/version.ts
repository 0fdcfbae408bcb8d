import type { RowChange, TruncateChange } from './change.ts';

/** Positions within an epoch: 2^55 bytes of log are 32 PiB. */
export const LSN_BITS = 55n;

/** Where a change stands: the id of its source and the epoch in which it was committed. */
export interface SourceEpoch {
  readonly source: number;
  readonly epoch: number;
}

/** How new a row is, as {@link isNewer} compares it. */
export interface Versioned {
  /** epoch << 55 | lsn; the same negative for a snapshot read, whose lsn is 0 where it is not told */
  readonly version: bigint;
  /** Commit time of a change, read time of a snapshot, epoch ms. */
  readonly at: number;
  /** Position of the last commit before it, where that is above its own; null elsewhere and for reads. */
  readonly commits: bigint | null;
}

export function versionsOf(change: RowChange | TruncateChange, place: SourceEpoch): Versioned {
  const at = (position: bigint) => (BigInt(place.epoch) << LSN_BITS) | position;
  const lsn = change.lsn ?? 0n;
  const { lastCommit } = change;
  const isRead = change.kind === 'row' && change.op === 'r';
  return {
    version: isRead ? -at(lsn) : at(lsn),
    at: change.at,
    commits: !isRead && lastCommit !== null && lastCommit > lsn ? at(lastCommit) : null,
  };
}

/** A position in a log, without its epoch. */
const POSITION = (1n << LSN_BITS) - 1n;

/** How much later than a commit the clock of a snapshot read must be. */
const CLOCK_MARGIN_MS = 60_000;

/** `muster.newer` of 002_functions.sql, which says why. */
export function isNewer(a: Versioned, b: Versioned): boolean {
  const [epochA, epochB] = [abs(a.version) >> LSN_BITS, abs(b.version) >> LSN_BITS];
  if (epochA !== epochB) return epochA > epochB;
  if (a.version > 0n && b.version > 0n) return a.version > b.version;
  if (a.version > 0n) return !isReadNewer(b, a);
  if (b.version > 0n) return isReadNewer(a, b);
  const told = (a.version & POSITION) !== 0n && (b.version & POSITION) !== 0n;
  return told && a.version !== b.version ? a.version < b.version : a.at > b.at;
}

function isReadNewer(read: Versioned, streamed: Versioned): boolean {
  if (streamed.at + CLOCK_MARGIN_MS >= read.at) return false;
  if ((read.version & POSITION) === 0n) return true;
  const { version, commits } = streamed;
  return (commits !== null && commits > version ? commits : version) <= -read.version;
}

function abs(version: bigint): bigint {
  return version < 0n ? -version : version;
}
