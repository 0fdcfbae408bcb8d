/**
 * Positions in the binlog of MySQL and MariaDB, as one integer in the place of an LSN: the number of the file in
 * 23 bits, then the position of the rows event in the file plus the number of the row in it, in 32 bits. Each row
 * takes at least one byte of its event, so the sum is different for every row, and grows along the file.
 */
import type { RowChange, TruncateChange } from './change.ts';

const OFFSET_BITS = 32n;
/** File numbers have at most 23 bits: 8,388,607 files are 95 years with one every six minutes. */
export const MAX_BINLOG_FILE = (1n << 23n) - 1n;
/** The server stores positions in 32 bits. */
export const MAX_BINLOG_OFFSET = (1n << OFFSET_BITS) - 1n;

export function binlogPosition(file: bigint, offset: bigint): bigint {
  return (file << OFFSET_BITS) | offset;
}

export function isInAnotherFile(a: bigint, b: bigint): boolean {
  return a >> OFFSET_BITS !== b >> OFFSET_BITS;
}

type OfLog = Pick<RowChange | TruncateChange, 'log' | 'lsn'>;

/** Describes the position of a change in the terms of its log. */
export function describePosition(change: OfLog): string {
  const kind = change.log === 'binlog' ? 'binlog position' : 'LSN';
  return `${kind} ${change.lsn === null ? 'unknown' : formatPosition(change, change.lsn)}`;
}

/** Formats a position in the log of a change. */
export function formatPosition({ log }: Pick<OfLog, 'log'>, lsn: bigint): string {
  if (log !== 'binlog') return String(lsn);
  return `${String(lsn >> OFFSET_BITS).padStart(6, '0')}:${lsn & MAX_BINLOG_OFFSET}`;
}
