/** The requirements of a set: rows of a table, events of a type, or records of a topic. */

/** A value that a filter compares with, in the form in which it is sent. */
export type Scalar = string | number | boolean | null;

/** One requirement of a set: what is read that passes `where`, correlated with other parts by `key`. */
export type Part = TablePart | EventPart | TopicPart;

/** Rows of a table whose changes Debezium sends. Names are those of columns. */
export interface TablePart extends CommonPart {
  /** Table in the source database, as `schema.table`. */
  readonly table: string;
  /** Primary key column or columns of the table. Default: `'id'`. */
  readonly id?: string | readonly string[];
  /**
   * Kept columns that arrive as the base64 encoding of their text, as Debezium sends types it does not know
   * (`include.unknown.datatypes`). Default: none.
   */
  readonly base64?: readonly string[];
}

/**
 * CloudEvents of a type. Names are attributes and extensions (`subject`, `partitionkey`) and paths into JSON data
 * (`data.order.id`). An event is identified by its `source` and `id`, and never changes, unless the part names
 * an `id` and a `version` of its own: then the newest version of an id counts.
 */
export interface EventPart extends CommonPart {
  /** CloudEvents `type`. */
  readonly event: string;
  /** What identifies the thing that the events are about. Only together with `version`. */
  readonly id?: string | readonly string[];
  /** Which event of an `id` is the newest: `'time'`, or the path of a whole number or of a time in RFC 3339. */
  readonly version?: string;
  /**
   * Type of the event that takes the one with its `id` back, unless that has a higher `version`; both are read by the
   * same names. Only together with `id` and `version`. Default: nothing takes events back.
   */
  readonly deletedBy?: string;
}

/**
 * Records of a topic whose values are JSON. Names are paths into the value. A record is identified by its partition
 * and offset, unless the part names an `id` and a `version`: then the newest version of an id counts.
 */
export interface TopicPart extends CommonPart {
  /** Kafka topic. Its records are not read as changes of tables; those that are CloudEvents belong to their type. */
  readonly topic: string;
  /** What identifies the thing that the records are about. Only together with `version`. */
  readonly id?: string | readonly string[];
  /** Which record of an `id` is the newest: the path of a whole number or of a time in RFC 3339. */
  readonly version?: string;
}

interface CommonPart {
  /**
   * Column or columns whose values identify the set. All parts of a function have the same number of key
   * columns. A row with a null in one of them joins no set.
   */
  readonly key: string | readonly string[];
  /** Equality filters by column name. A row must match all of them to fill this part. Default: none. */
  readonly where?: Readonly<Record<string, Scalar>>;
  /**
   * Additional columns to keep for the handler. Those of key, filters and id are always kept. Default: none.
   */
  readonly columns?: readonly string[];
  /** Number of rows this part needs. Default: 1. */
  readonly count?: number;
}

/** The kind of part that an object is meant to be. */
export type PartLike<P> = P extends { readonly event: unknown }
  ? EventPart
  : P extends { readonly topic: unknown }
    ? TopicPart
    : TablePart;
