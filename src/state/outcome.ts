/** Why an event was parked instead of ingested. */
export type ParkReason =
  /** a KafkaSource event whose body is no change event */
  | 'not-a-change'
  /** a change event that lacks its table, operation, row, primary key, position or time */
  | 'incomplete-change'
  /** a change of a database whose changes are not read */
  | 'unsupported-source'
  /** a key or filter column was not sent (unchanged TOASTed value) and nothing is known of the row */
  | 'unavailable-column'
  /** a key or primary key that is no scalar, or longer than an index entry may be */
  | 'bad-key'
  /** a position no log has, or too far ahead of the newest one seen */
  | 'position-ahead'
  /** the source's log started over: it was restored or made anew */
  | 'position-restarted'
  /** Postgres refused the values (SQLSTATE class 21, 22 or 23, 54) */
  | 'bad-value'
  /** a projection could not read the record */
  | 'not-a-record'
  /** a projection refused the record with a TerminalError */
  | 'refused';

/** What became of an event whose effect is committed. */
export type Outcome =
  | { readonly kind: 'ingested' }
  /** no part of a served function is on this table */
  | { readonly kind: 'unwanted' }
  | { readonly kind: 'parked'; readonly reason: ParkReason; readonly detail: string };

/** Try again: nothing was committed, or it is not known whether it was. Answered 503. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
  readonly reason: 'database' | 'draining' | 'overload' | 'superseded';

  constructor(reason: Unavailable['reason'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
