/** Turns messages of the log into changes, without the detour over a message of Debezium. */
import type { Change, Origin, Row, RowChange, TruncateChange } from '../../state/change.ts';
import type { CapturedTable } from './captured-table.ts';
import { type LogPosition, type RowEvent, toMessage } from './envelope.ts';
import { readImages, type RowMessage, type Values } from './pgoutput.ts';
import { toValue } from './row-values.ts';

/** A change, or one that can't be converted, to be parked. */
export type Read<T extends Change = RowChange> =
  | { readonly kind: 'change'; readonly change: T }
  | { readonly kind: 'bad'; readonly origin: Origin; readonly detail: string };

/** Type under which parked changes are redelivered: that of Debezium's CloudEventsConverter. */
const TYPE = 'io.debezium.postgresql.datachangeevent';

/** Returns the changes of a row: a new primary key makes a delete of the old row and a new row. */
export function toChanges(
  message: RowMessage,
  table: CapturedTable,
  at: LogPosition,
  source: string,
): Read[] {
  const originOf = (op: 'c' | 'u' | 'd') =>
    new WalOrigin({
      source,
      table,
      at,
      op,
      event: () => eventOf(message, op),
      sent: () => message.bytes.toString('base64'),
    });
  const make = (op: 'c' | 'u' | 'd', row: () => Row) => toRead(op, row, at, originOf(op));
  try {
    const { before, isWhole, after } = readImages(message, table.wanted);
    if (after === null) return [make('d', () => goneRow(table, before!, isWhole))];
    if (message.op === 'u' && before !== null && hasOtherKey(table, before, after)) {
      return [
        make('d', () => goneRow(table, before, isWhole)),
        make('c', () => toRow(table, after)),
      ];
    }
    return [make(message.op, () => toRow(table, after))];
  } catch (error) {
    return [{ kind: 'bad', origin: originOf(message.op), detail: detailOf(error) }];
  }
}

/** Returns the read of a row by a snapshot; `values` are those of the wanted columns. */
export function toReadChange(
  values: Values,
  table: CapturedTable,
  at: LogPosition,
  source: string,
): Read {
  const all = () => {
    const after: Values = Array.from({ length: table.table.columns.length });
    for (const [i, { number }] of table.columns.entries()) after[number] = values[i] ?? null;
    return after;
  };
  const origin = new WalOrigin({
    source,
    table,
    at,
    op: 'r',
    event: () => ({ op: 'r', after: all() }),
    sent: () => Object.fromEntries(table.columns.map(({ name }, i) => [name, values[i] ?? null])),
  });
  const row = () => {
    const read: Record<string, unknown> = {};
    for (const [i, column] of table.columns.entries()) {
      read[column.name] = toValue(column, values[i]);
    }
    return read;
  };
  return toRead('r', row, at, origin);
}

export function toTruncate(
  table: CapturedTable,
  at: LogPosition,
  source: string,
): Read<TruncateChange> {
  const origin = new WalOrigin({
    source,
    table,
    at,
    op: 't',
    event: () => ({ op: 't' }),
    sent: () => null,
  });
  const ms = Number(at.at / 1000n);
  const change = {
    kind: 'truncate',
    source,
    table: table.stream,
    lsn: at.lsn,
    at: ms,
    handledAt: ms,
    lastCommit: at.lastCommit,
    origin,
  } as const;
  return { kind: 'change', change };
}

function toRead(op: RowChange['op'], row: () => Row, at: LogPosition, origin: WalOrigin): Read {
  const ms = Number(at.at / 1000n);
  try {
    const change = {
      kind: 'row',
      op,
      source: origin.change.source,
      stream: origin.change.table.stream,
      lsn: at.lsn,
      at: ms,
      handledAt: ms,
      lastCommit: at.lastCommit,
      snapshot: op !== 'r' ? null : at.snapshot === 'incremental' ? 'incremental' : 'initial',
      row: row(),
      origin,
    } as const;
    return { kind: 'change', change };
  } catch (error) {
    return { kind: 'bad', origin, detail: detailOf(error) };
  }
}

function detailOf(error: unknown): string {
  return `the change could not be read from the log: ${(error as Error).message}`;
}

function toRow({ columns }: CapturedTable, values: Values): Row {
  const row: Record<string, unknown> = {};
  for (const column of columns) row[column.name] = toValue(column, values[column.number]);
  return row;
}

/** Returns the row before a delete; the log may have only its key. */
function goneRow(table: CapturedTable, before: Values, isWhole: boolean): Row {
  if (isWhole) return toRow(table, before);
  const row: Record<string, unknown> = {};
  for (const column of table.columns) {
    const { name, primaryKey, nullable, number } = column;
    const unknown = nullable ? toValue(column, null) : '';
    row[name] = primaryKey ? toValue(column, before[number]) : unknown;
  }
  return row;
}

/** A column of the primary key that is null before the change does not belong to the replica identity. */
function hasOtherKey({ key }: CapturedTable, before: Values, after: Values): boolean {
  return key.some(({ number }) => before[number] != null && before[number] !== after[number]);
}

/** Returns all columns of a change, or of the delete or the new row that it is with another key. */
function eventOf(message: RowMessage, op: 'c' | 'u' | 'd'): RowEvent {
  const { before, isWhole, after } = readImages(message, null);
  if (op === 'd') return { op, before: before!, isWhole };
  return op === 'c'
    ? { op, after: after! }
    : { op, before: isWhole ? before : null, after: after! };
}

interface Described {
  /** `source.name` */
  readonly source: string;
  readonly table: CapturedTable;
  readonly at: LogPosition;
  readonly op: RowEvent['op'];
  /** Returns all columns that were sent. Throws if they can't be read. */
  readonly event: () => RowEvent;
  /** Returns what the server sent. */
  readonly sent: () => unknown;
}

/**
 * The origin of a change in the log. Its attributes and its body, which is the message that Debezium would send, are
 * made only when it is parked: few changes are.
 */
class WalOrigin implements Origin {
  readonly change: Described;
  readonly contentType = 'application/json';
  /** The bytes of its message are counted where they wait; see delivery.ts. */
  readonly size = 0;

  constructor(change: Described) {
    this.change = change;
  }

  get attributes(): Readonly<Record<string, string>> {
    const { source, table, at, op } = this.change;
    return {
      specversion: '1.0',
      id: `lsn:${at.lsn}/op:${op}`,
      source: `/wal/${encodeURIComponent(source)}#${encodeURIComponent(table.stream)}`,
      type: TYPE,
    };
  }

  get body(): Uint8Array {
    return Buffer.from(this.#text());
  }

  #text(): string {
    const { source, table, at, event, sent } = this.change;
    try {
      return toMessage(event(), table.table, at, source);
    } catch {
      return JSON.stringify({ table: table.stream, lsn: String(at.lsn), sent: sent() });
    }
  }
}
