/**
 * Shapes a row-level change as Debezium 3.7 does with its JsonConverter (`schemas.enable=false`,
 * `include.unknown.datatypes=true`, no transaction metadata). test/intake/wal/messages.test.ts compares it with recorded
 * messages of the connector.
 */
import { toJson } from './column-values.ts';
import type { Values } from './pgoutput.ts';
import type { SourceTable } from './source-table.ts';

/** A change with the rows that its message shows. */
export type RowEvent =
  | { readonly op: 'c' | 'r'; readonly after: Values }
  /** `before` is null if the log does not have the whole row. */
  | { readonly op: 'u'; readonly before: Values | null; readonly after: Values }
  /** `before` has only the key unless it `isWhole`. */
  | { readonly op: 'd'; readonly before: Values; readonly isWhole: boolean }
  | { readonly op: 't' };

/** The position and time of a change in the source's log. */
export interface LogPosition {
  /** Start of the change's record, as pgoutput sends it. */
  readonly lsn: bigint;
  /** The change's own commit, by which a snapshot contains it or not (stream.ts); null for a read. */
  readonly lastCommit: bigint | null;
  readonly txId: number;
  /** Commit time, or read time of a snapshot, in microseconds since 1970. */
  readonly at: bigint;
  readonly snapshot: 'true' | 'false' | 'incremental';
}

/**
 * Returns Debezium's message for a change of `source.name`. When it was handled, which is informational, is the time
 * of the change: a change that is read twice has one message.
 */
export function toMessage(
  event: RowEvent,
  table: SourceTable,
  at: LogPosition,
  name: string,
): string {
  const ms = Number(at.at / 1000n);
  return JSON.stringify({
    ...imagesOf(event, table),
    source: source(table, at, name),
    transaction: null,
    op: event.op,
    ts_ms: ms,
    ts_us: ms * 1000,
    ts_ns: JSON.rawJSON(`${ms}000000`),
  });
}

type Json = Readonly<Record<string, unknown>>;

function imagesOf(
  event: RowEvent,
  table: SourceTable,
): { before: Json | null; after: Json | null } {
  switch (event.op) {
    case 't':
      return { before: null, after: null };
    case 'd':
      return { before: (event.isWhole ? row : keyRow)(table, event.before), after: null };
    case 'u':
      return { before: event.before && row(table, event.before), after: row(table, event.after) };
    case 'c':
    case 'r':
      return { before: null, after: row(table, event.after) };
  }
}

function row({ columns }: SourceTable, values: Values): Json {
  return Object.fromEntries(columns.map((column, i) => [column.name, toJson(column, values[i])]));
}

/** The image of a row of which the log has only the key: "" stands for values that must not be null. */
function keyRow({ columns }: SourceTable, values: Values): Json {
  return Object.fromEntries(
    columns.map((column, i) => {
      const unknown = column.nullable ? toJson(column, null) : '';
      return [column.name, column.primaryKey ? toJson(column, values[i]) : unknown];
    }),
  );
}

function source(
  { database, schema, name }: SourceTable,
  at: LogPosition,
  connectorName: string,
): Json {
  const lastCommit = at.lastCommit === null ? null : String(at.lastCommit);
  return {
    version: '3.7.0.Final',
    connector: 'postgresql',
    name: connectorName,
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
