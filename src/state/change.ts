/**
 * A row-level change, as intake passes it to the state, independent of how it arrived.
 */
import type { Span } from '@opentelemetry/api';

/** Placeholder for a value that the source did not send (an unchanged TOASTed column). */
export const UNAVAILABLE: unique symbol = Symbol('unavailable');

/**
 * Column values by name, as JSON: text, number, boolean, null, array, object. An integer beyond 2^53
 * is the object of `JSON.rawJSON`, so that it stays exact.
 */
export type Row = Readonly<Record<string, unknown>>;

/** The event from which a change was read: stored if the change is parked, and named in logs. */
export interface Origin {
  /** CloudEvents attributes and extensions. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly contentType: string | null;
  /** `Content-Encoding` of the body, if that could not be decoded. */
  readonly contentEncoding?: string;
  readonly body: Uint8Array;
  /** Memory that it takes in bytes, if the body is made only when it is read. */
  readonly size?: number;
  /** Attributes that parts name: if the event is parked, they are stored whole. */
  readonly named?: readonly string[];
  /** Span of its intake, if that is traced. */
  readonly span?: Span;
}

/** The transaction of a change in MySQL or MariaDB; every server that has it gives it the same GTID. */
export interface Gtid {
  /** In which transactions are numbered: of MySQL, the UUID of a server, with the tag if there is one; of MariaDB, a domain. */
  readonly domain: string;
  /** The server that committed it first: of MySQL, its UUID; of MariaDB, its `server_id`. */
  readonly server: string;
  readonly number: bigint;
}

export interface RowChange {
  readonly kind: 'row';
  /** create, update, delete, read (snapshot) */
  readonly op: 'c' | 'u' | 'd' | 'r';
  /** Name of the connector (`source.name`): LSNs compare within one source. */
  readonly source: string;
  /**
   * What parts read it by (definitions/streams.ts): for a row of a table, `schema.table`, or `database.table` of MySQL and
   * MariaDB, which have no schemas.
   */
  readonly stream: string;
  /**
   * Position in the source's log; of an event, its version (ingest/event-version.ts). For a snapshot read, the
   * position up to which it can be compared with changes: the log's end for an initial snapshot, the connector's position for an incremental one; null if unknown.
   */
  readonly lsn: bigint | null;
  /** Kind of log that the position is in, if it is not PostgreSQL's; see binlog-position.ts. */
  readonly log?: 'binlog';
  /** Of a streamed change in a binlog with GTIDs. */
  readonly gtid?: Gtid;
  /** `source.ts_ms`: commit time of a streamed change, read time of a snapshot, in epoch milliseconds. */
  readonly at: number;
  /** When the connector handled it, in epoch milliseconds; null if the message does not specify it. */
  readonly handledAt: number | null;
  /** Position of the last commit that the connector had passed (`source.sequence`); null if unknown. */
  readonly lastCommit: bigint | null;
  /** Kind of the snapshot that a read belongs to; null for streamed changes. */
  readonly snapshot: 'initial' | 'incremental' | null;
  /** The row after the change; for a delete, the known columns before it (at least its primary key). */
  readonly row: Row;
  readonly origin: Origin;
}

export interface TruncateChange {
  readonly kind: 'truncate';
  readonly source: string;
  /** `schema.table`; of MySQL and MariaDB `database.table` */
  readonly table: string;
  readonly lsn: bigint;
  readonly log?: 'binlog';
  readonly gtid?: Gtid;
  readonly at: number;
  readonly handledAt: number | null;
  readonly lastCommit: bigint | null;
  readonly origin: Origin;
}

/** An event, or a record of a topic, that is a part by itself. */
export interface EventChange {
  readonly kind: 'event';
  /** The stream of its type or topic (definitions/streams.ts). */
  readonly stream: string;
  /** Where a record is; null for an event. */
  readonly position: RecordPosition | null;
  /** Attributes and extensions, without the encoding of headers. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Parses the data. Numbers of it may be rounded unless `exact` is true. */
  readonly data: (exact: boolean) => EventData;
  /** Its time in epoch milliseconds, or that of its arrival. */
  readonly at: number;
  readonly origin: Origin;
}

/** Partition and offset of a record, as text. */
export interface RecordPosition {
  readonly partition: string;
  readonly offset: string;
}

/** A JSON value, undefined if the event has no data; or why the data is none. */
export type EventData = { readonly json: unknown } | { readonly problem: string };

export type Change = RowChange | TruncateChange | EventChange;
