/** Why an event was parked instead of ingested. */
export type ParkReason =
  /** a KafkaSource event whose body is not a change event */
  | 'not-a-change'
  /** a change event that lacks its table, operation, row, primary key, position or time */
  | 'incomplete-change'
  /** a change of a database whose changes are not read */
  | 'unsupported-source'
  /** a key or filter column was not sent (unchanged TOASTed value), and no stored version of the row has it */
  | 'unavailable-column'
  /** a key or primary key that is not a scalar, or too long for an index entry */
  | 'bad-key'
  /** an event or record that lacks a key, id or version that a part names, or whose data can't be read */
  | 'bad-event'
  /** a position that no log can have, or too far ahead of the newest one seen */
  | 'position-ahead'
  /** the source's log started over: the database was restored or recreated */
  | 'position-restarted'
  /** Postgres refused the values (SQLSTATE class 21, 22 or 23, 54) */
  | 'bad-value'
  /** a projection could not read the record */
  | 'not-a-record'
  /** a projection refused the record with a TerminalError */
  | 'refused';

/** The outcome of an event, which is committed. */
export type Outcome =
  | { readonly kind: 'ingested' }
  /** no part of a served function reads this table or this type of event */
  | { readonly kind: 'unwanted' }
  | { readonly kind: 'parked'; readonly reason: ParkReason; readonly detail: string };

/** The caller must retry: nothing was committed, or it is unknown whether it was. Answered with status 503. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
  readonly reason: 'database' | 'draining' | 'overload' | 'schema-registry' | 'superseded';

  constructor(reason: Unavailable['reason'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
