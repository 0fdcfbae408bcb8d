/**
 * What intake hands to state: one row-level change, whatever road it came by.
 */
import type { Span } from '@opentelemetry/api';

/** Stands for a value the source did not send (an unchanged TOASTed column). */
export const UNAVAILABLE: unique symbol = Symbol('unavailable');

/**
 * Column values by name, as JSON: text, number, boolean, null, array, object. An integer beyond 2^53
 * is the object of `JSON.rawJSON`, so that it stays exact.
 */
export type Row = Readonly<Record<string, unknown>>;

/** The event a change was read from: what is kept if it has to be parked, and named in logs. */
export interface Origin {
  /** CloudEvents attributes and extensions. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly contentType: string | null;
  /** `Content-Encoding` of the body, where that could not be decoded. */
  readonly contentEncoding?: string;
  readonly body: Uint8Array;
  /** Of its intake, where that is traced. */
  readonly span?: Span;
}

export interface RowChange {
  readonly kind: 'row';
  /** create, update, delete, read (snapshot) */
  readonly op: 'c' | 'u' | 'd' | 'r';
  /** Name of the connector (`source.name`): LSNs compare within one source. */
  readonly source: string;
  /** `schema.table` */
  readonly table: string;
  /**
   * Position in the source's log. Of a snapshot read, that up to which it may be compared with changes: the
   * log's end at an initial snapshot, where the connector was at an incremental one; null where it is not told.
   */
  readonly lsn: bigint | null;
  /** `source.ts_ms`: commit time of a streamed change, read time of a snapshot, in epoch milliseconds. */
  readonly at: number;
  /** When the connector handled it, in epoch milliseconds; `at` where the message does not say. */
  readonly handledAt: number;
  /** Position of the commit the connector had passed last (`source.sequence`); null where it is not told. */
  readonly lastCommit: bigint | null;
  /** Which snapshot a read belongs to; null for streamed changes. */
  readonly snapshot: 'initial' | 'incremental' | null;
  /** The row after the change; for a delete what is known of the row before it (its primary key at least). */
  readonly row: Row;
  readonly origin: Origin;
}

export interface TruncateChange {
  readonly kind: 'truncate';
  readonly source: string;
  readonly table: string;
  readonly lsn: bigint;
  readonly at: number;
  readonly handledAt: number;
  readonly lastCommit: bigint | null;
  readonly origin: Origin;
}

export type Change = RowChange | TruncateChange;
