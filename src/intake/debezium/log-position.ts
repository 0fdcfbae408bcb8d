import { binlogPosition, MAX_BINLOG_FILE, MAX_BINLOG_OFFSET } from '../../state/binlog-position.ts';
import type { Gtid } from '../../state/change.ts';
import { incomplete, InvalidEvent, show } from '../invalid-event.ts';
import type { LogKind } from './databases.ts';
import type { RawChange } from './message-forms.ts';

/** No log is that long (32 PiB): a larger value is not a position. */
const LSN_LIMIT = 1n << 55n;

/** `source.sequence` is the text `["<position of the last commit>","<position>"]`; the first may be null. */
const SEQUENCE = /^\[(?:null|"(\d{1,20})"),"(\d{1,20})"\]$/;

/** A binlog's name ends with its number: mysql-bin.000003. */
const BINLOG_FILE = /\.(\d{1,20})$/;

/** MariaDB's GTIDs are domain-server-number; MySQL's server:number or, from 8.3 on, server:tag:number. */
const GTIDS = [
  /^(?<domain>\d{1,10})-(?<server>\d{1,10})-(?<number>\d{1,20})$/,
  /^(?<domain>(?<server>[\da-f-]{36})(?::[a-z_]\w{0,31})?):(?<number>\d{1,19})$/,
];

/** Where a change is in the log of its source. */
export interface LogPlace {
  /** Null for a read whose position is unknown. */
  readonly lsn: bigint | null;
  readonly lastCommit: bigint | null;
  /** Whether it is a read of an incremental snapshot, as far as its position tells. */
  readonly isIncremental: boolean;
}

/** Reads the position of a change; throws {@link InvalidEvent} if it has none that can be compared. */
export function readLogPlace(raw: RawChange, log: LogKind): LogPlace {
  return log === 'binlog'
    ? { lsn: readBinlogPosition(raw), lastCommit: null, isIncremental: false }
    : readWalPlace(raw);
}

function readWalPlace(raw: RawChange): LogPlace {
  const { names } = raw;
  const lastCommit = sequencesOf(raw.sequence)[0];
  const isIncremental = raw.op === 'r' && raw.lsn == null;
  if (!isIncremental) return { lsn: readLsn(raw.lsn, names.lsn), lastCommit, isIncremental };
  if (raw.connector == null) {
    const expected = 'postgresql is expected on a read without a position';
    throw incomplete(names.connector, raw.connector, expected);
  }
  return { lsn: positionOf(raw.sequence), lastCommit, isIncremental };
}

/**
 * Returns the connector's position in the log when it emitted an incremental read. The connector compares its
 * reads with the changes up to that position.
 */
function positionOf(sequence: unknown): bigint | null {
  const [lastCommit, lsn] = sequencesOf(sequence);
  return lastCommit !== null && lsn !== null && lastCommit > lsn ? lastCommit : (lsn ?? lastCommit);
}

function sequencesOf(sequence: unknown): [lastCommit: bigint | null, lsn: bigint | null] {
  const found = typeof sequence === 'string' ? SEQUENCE.exec(sequence) : null;
  return [toLsn(found?.[1]), toLsn(found?.[2])];
}

function toLsn(digits: string | undefined): bigint | null {
  const lsn = digits === undefined ? 0n : BigInt(digits);
  return lsn > 0n && lsn < LSN_LIMIT ? lsn : null;
}

function readLsn(value: unknown, name: string): bigint {
  const lsn = readInteger(value, name, 'a position in the log is expected');
  if (lsn > 0n && lsn < LSN_LIMIT) return lsn;
  throw new InvalidEvent('position-ahead', `${name} is ${lsn}, absurd: no log has that position`);
}

/**
 * Reads the position of a change in a binlog. It is that of the event with its rows, in which `row` counts. Of a
 * read it is the position up to which the connector has compared: the log's end for an initial snapshot, its own
 * position for an incremental one. There, and for a truncate, `row` is a remnant of an earlier event.
 */
function readBinlogPosition(raw: RawChange): bigint {
  const { names } = raw;
  const found = typeof raw.file === 'string' ? BINLOG_FILE.exec(raw.file) : null;
  if (found === null) {
    const expected = 'the name of a binlog file that ends with its number is expected';
    throw incomplete(names.file, raw.file, expected);
  }
  const file = BigInt(found[1]!);
  const pos = readInteger(raw.pos, names.pos, 'a position in the binlog is expected');
  const hasRow = raw.op !== 'r' && raw.op !== 't';
  const row = hasRow ? readInteger(raw.row, names.row, 'the number of a row is expected') : 0n;
  if (
    file > 0n &&
    file <= MAX_BINLOG_FILE &&
    pos > 0n &&
    row >= 0n &&
    pos + row <= MAX_BINLOG_OFFSET
  ) {
    return binlogPosition(file, pos + row);
  }
  throw new InvalidEvent(
    'position-ahead',
    `${names.file} is ${show(raw.file)}, ${names.pos} ${pos} and ${names.row} ${row}, absurd: no binlog has that position`,
  );
}

/** Returns the GTID of a streamed change; null if there is none, or it has another form. */
export function readGtid(raw: RawChange): Gtid | null {
  if (typeof raw.gtid !== 'string' || raw.op === 'r') return null;
  const text = raw.gtid.toLowerCase();
  const found = GTIDS.map((form) => form.exec(text)?.groups).find((groups) => groups !== undefined);
  if (found === undefined) return null;
  const { domain, server, number } = found;
  return { domain: domain!, server: server!, number: BigInt(number!) };
}

/** Reads an integer that is a number, the object of `JSON.rawJSON` beyond 2^53, or text in attributes of a CloudEvent. */
function readInteger(value: unknown, name: string, expected: string): bigint {
  const digits = JSON.isRawJSON(value) ? value.rawJSON : value;
  if (
    (typeof digits === 'string' || typeof digits === 'number') &&
    /^-?\d{1,40}$/.test(`${digits}`)
  ) {
    return BigInt(digits);
  }
  throw incomplete(name, value, expected);
}
