/** What a function is tested with: rows, events and records, as Muster receives them. */

export type Arrival = ArrivingRow | ArrivingEvent | ArrivingRecord;

/** A change of one row, as Muster receives it. */
export interface ArrivingRow {
  /** `schema.table` of the source database. */
  readonly table: string;
  /** Columns with values as Debezium sends them. For a delete the primary key is enough. */
  readonly row: Readonly<Record<string, unknown>>;
  /** Create (`c`, the default), update (`u`), delete (`d`), or read by the initial snapshot (`r`). */
  readonly op?: 'c' | 'u' | 'd' | 'r';
  /**
   * Position in the source's log, if changes arrive in another order than that in which they happened.
   * Default: the row's position in the list, from 1.
   */
  readonly lsn?: number;
}

/** A CloudEvent. */
export interface ArrivingEvent {
  /** CloudEvents `type`. */
  readonly event: string;
  /** Default: the event's position in the list, from 1. */
  readonly id?: string;
  /** Default: `/events`. */
  readonly source?: string;
  /** Further attributes and extensions, such as `subject`. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** JSON data. Default: none. */
  readonly data?: unknown;
}

/** A record of a topic that is not a CloudEvent. */
export interface ArrivingRecord {
  readonly topic: string;
  /** JSON value; null is a tombstone, which changes nothing. */
  readonly value: unknown;
  /** Default: 0. */
  readonly partition?: number;
  /** Default: the record's position in the list, from 1. */
  readonly offset?: number;
}
