/**
 * Shapes a row-level change as Debezium 3.7 does with its JsonConverter (`schemas.enable=false`,
 * `include.unknown.datatypes=true`, no transaction metadata), so that Muster receives the same bytes as
 * from a real connector. test/dev/envelope.test.ts compares it with recorded messages.
 */
import { toJson } from './column-values.ts';
import type { SourceTable } from './source-table.ts';

/** A row in PostgreSQL's text format; undefined for an unchanged TOASTed value that was not sent. */
export type Tuple = Readonly<Record<string, string | null | undefined>>;

export type RowEvent =
  | { readonly op: 'c' | 'r'; readonly after: Tuple }
  /** `before`: the whole row under REPLICA IDENTITY FULL, the old key if the key changed, else null */
  | {
      readonly op: 'u';
      readonly before: Tuple | null;
      readonly full: boolean;
      readonly after: Tuple;
    }
  | { readonly op: 'd'; readonly before: Tuple; readonly full: boolean }
  | { readonly op: 't' };

/** The position and time of a change in the source's log. */
export interface LogPosition {
  /** Start of the change's record, as pgoutput sends it. */
  readonly lsn: bigint;
  /** End of the last transaction seen before this one; null in a connector's first transaction. */
  readonly lastCommit: bigint | null;
  readonly txId: number;
  /** Commit time, or read time of a snapshot, in microseconds since 1970. */
  readonly at: bigint;
  readonly snapshot: 'first' | 'true' | 'last' | 'false' | 'incremental';
}

/** What a connector adds to its messages. */
export interface Connector {
  /** `source.name` */
  readonly name: string;
  /** When it handles a change, in epoch milliseconds. */
  readonly now: () => number;
}

/** Key and value of a Kafka record; a null value is a tombstone. */
export interface Message {
  readonly key: string | null;
  readonly value: string | null;
}

/** Returns Debezium's messages for one change: a delete adds a tombstone, a changed key makes three. */
export function toMessages(
  event: RowEvent,
  table: SourceTable,
  at: LogPosition,
  connector: Connector = { name: 'postgres', now: Date.now },
): Message[] {
  const of = source(table, at, connector.name);
  const write = (op: string, before: Json | null, after: Json | null) =>
    JSON.stringify({ before, after, source: of, transaction: null, op, ...clock(connector.now()) });
  if (event.op === 't') return [{ key: null, value: write('t', null, null) }];
  if (event.op === 'd') return remove(event.before, event.full);

  const key = keyOf(table, event.after);
  const after = row(table, event.after);
  if (event.op !== 'u') return [{ key, value: write(event.op, null, after) }];

  const { before, full } = event;
  if (before && keyOf(table, before) !== key) {
    return [...remove(before, full), { key, value: write('c', null, after) }];
  }
  return [{ key, value: write('u', before && full ? row(table, before) : null, after) }];

  function remove(gone: Tuple, whole: boolean): Message[] {
    const image = whole ? row(table, gone) : keyRow(table, gone);
    return [
      { key: keyOf(table, gone), value: write('d', image, null) },
      { key: keyOf(table, gone), value: null },
    ];
  }
}

type Json = Readonly<Record<string, unknown>>;

function keyOf({ columns }: SourceTable, tuple: Tuple): string {
  const key = columns.filter((column) => column.primaryKey);
  return JSON.stringify(
    Object.fromEntries(key.map((column) => [column.name, toJson(column, tuple[column.name])])),
  );
}

function row({ columns }: SourceTable, tuple: Tuple): Json {
  return Object.fromEntries(
    columns.map((column) => [column.name, toJson(column, tuple[column.name])]),
  );
}

/** The image of a row of which the log has only the key: "" stands for values that must not be null. */
function keyRow({ columns }: SourceTable, tuple: Tuple): Json {
  return Object.fromEntries(
    columns.map((column) => {
      const unknown = column.nullable ? toJson(column, null) : '';
      return [column.name, column.primaryKey ? toJson(column, tuple[column.name]) : unknown];
    }),
  );
}

function source({ database, schema, name }: SourceTable, at: LogPosition, connector: string): Json {
  const lastCommit = at.lastCommit === null ? null : String(at.lastCommit);
  return {
    version: '3.7.0.Final',
    connector: 'postgresql',
    name: connector,
    ts_ms: Number(at.at / 1000n),
    snapshot: at.snapshot,
    db: database,
    sequence: JSON.stringify([lastCommit, String(at.lsn)]),
    ts_us: Number(at.at),
    ts_ns: JSON.rawJSON(`${at.at}000`), // beyond 2^53
    schema,
    table: name,
    txId: at.txId,
    lsn: at.snapshot === 'incremental' ? null : Number(at.lsn),
    xmin: null,
    origin: null,
    origin_lsn: null,
  };
}

/** When the connector handled the change. It is informational: `source.ts_ms` is the time that counts. */
function clock(now: number): Json {
  return { ts_ms: now, ts_us: now * 1000, ts_ns: JSON.rawJSON(`${now}000000`) };
}
