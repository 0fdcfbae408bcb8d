import type { RowChange, TruncateChange } from './change.ts';

/** Positions within an epoch: 2^55 bytes of log are 32 PiB. */
export const LSN_BITS = 55n;
/** A version is an int8, of which the sign marks a read, so eight bits are left for the epoch. 255 is that of rows of a forgotten source. */
export const MAX_EPOCH = 254;

/** The id of a change's source and the epoch in which it was committed. */
export interface SourceEpoch {
  readonly source: number;
  readonly epoch: number;
}

/** The version of a row, as compared by {@link isNewer}. */
export interface Versioned {
  /** epoch << 55 | lsn; negated for a snapshot read, whose lsn is 0 if it is unknown. */
  readonly version: bigint;
  /** Commit time of a change, read time of a snapshot, epoch ms. */
  readonly at: number;
  /** Position of the last commit before it, if that is above its own; null otherwise, and for reads. */
  readonly commits: bigint | null;
}

export function versionsOf(change: RowChange | TruncateChange, place: SourceEpoch): Versioned {
  const at = (position: bigint) => (BigInt(place.epoch) << LSN_BITS) | position;
  const lsn = change.lsn ?? 0n;
  const { lastCommit } = change;
  if (change.kind === 'row' && change.op === 'r') return versionOfRead(lsn, change.at, place);
  return {
    version: at(lsn),
    at: change.at,
    commits: lastCommit !== null && lastCommit > lsn ? at(lastCommit) : null,
  };
}

/** Returns the version of what a snapshot read at a position and a time, or found not to be there. */
export function versionOfRead(lsn: bigint, at: number, { epoch }: SourceEpoch): Versioned {
  return { version: -((BigInt(epoch) << LSN_BITS) | lsn), at, commits: null };
}

/** A position in a log, without its epoch. */
const POSITION = (1n << LSN_BITS) - 1n;

/** By how much the time of a snapshot read must exceed that of a commit for the read to be newer. */
export const CLOCK_MARGIN_MS = 60_000;

/** Returns whether `a` is newer than `b`. Same as `muster.newer` in 002_functions.sql, where the rules are explained. */
export function isNewer(a: Versioned, b: Versioned): boolean {
  const [epochA, epochB] = [abs(a.version) >> LSN_BITS, abs(b.version) >> LSN_BITS];
  if (epochA !== epochB) return epochA > epochB;
  if (a.version > 0n && b.version > 0n) return a.version > b.version;
  if (a.version > 0n) return !isReadNewer(b, a);
  if (b.version > 0n) return isReadNewer(a, b);
  const bothKnown = (a.version & POSITION) !== 0n && (b.version & POSITION) !== 0n;
  return bothKnown && a.version !== b.version ? a.version < b.version : a.at > b.at;
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
