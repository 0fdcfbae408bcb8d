/**
 * What the author of a function sees: which rows make a set, when the set is complete, and what to
 * do then. Parts and rules are data, not callbacks, so that Muster can check them at start, explain
 * a set and ask the source table.
 */

/** A value a filter compares with: text, number, boolean or null, as Debezium sends it. */
export type Scalar = string | number | boolean | null;

/** A length of time in words: `'15 minutes'`, `'1 hour'`, `'500 milliseconds'`. */
export type Duration =
  `${number} ${'millisecond' | 'second' | 'minute' | 'hour' | 'day'}${'' | 's'}`;

/** A named requirement of a set: rows of a table, chosen by `where`, correlated by `key`. */
export interface Part {
  /** `schema.table` of the source database. */
  readonly table: string;
  /** Column or columns whose values name the set. A row with a null among them joins no set. */
  readonly key: string | readonly string[];
  /** Equality filters; a row that differs in one of them does not fill this part. */
  readonly where?: Readonly<Record<string, Scalar>>;
  /** Primary key of the table; `'id'` unless given. */
  readonly id?: string | readonly string[];
  /** Further columns to keep for the handler; key, filter and primary key columns always are. */
  readonly columns?: readonly string[];
  /** Columns that arrive as base64 of their text (Debezium's `include.unknown.datatypes`). */
  readonly base64?: readonly string[];
  /** Rows needed; 1 unless given. */
  readonly count?: number;
}

/** At least so many of these parts or rules hold. Made by {@link all}, {@link any}, {@link atLeast}. */
export interface Rule<P extends string = string> {
  readonly atLeast: number;
  readonly of: readonly (P | Rule<P>)[];
}

/** Every one of these. */
export function all<const P extends string>(...of: (P | Rule<P>)[]): Rule<P> {
  return { atLeast: of.length, of };
}

/** One of these is enough. */
export function any<const P extends string>(...of: (P | Rule<P>)[]): Rule<P> {
  return { atLeast: 1, of };
}

/** `count` of these are enough. */
export function atLeast<const P extends string>(count: number, ...of: (P | Rule<P>)[]): Rule<P> {
  return { atLeast: count, of };
}

/** One source row of a complete set. */
export interface Member {
  /** Primary key as canonical text; several columns as a JSON array. */
  readonly id: string;
  /** Kept columns by name, values as Debezium sent them. Integers beyond 2^53 are `bigint`. */
  readonly row: Readonly<Record<string, unknown>>;
  /** Position of the row's newest change in the source's log; null where it was read by a snapshot. */
  readonly lsn: string | null;
  /** When this row joined the set, by the state database's clock. */
  readonly since: Date;
  /**
   * Kept columns that `row` lacks, because the source never sent their value: PostgreSQL leaves out a
   * value that is stored out of line and did not change, and no change that carried it has arrived.
   * `alter table … replica identity full` at the source makes it send them all. Mostly empty.
   */
  readonly unavailable: readonly string[];
}

/** What a handler gets: everything that shares one key, once the rule holds. */
export interface CompleteSet<P extends string = string, K extends string = string> {
  readonly function: string;
  /** Key values as canonical text, by column name. */
  readonly key: Readonly<Record<K, string>>;
  /** The key in one piece: the value itself, or a JSON array of the values. */
  readonly keyText: string;
  readonly revision: number;
  readonly parts: Readonly<Record<P, readonly Member[]>>;
}

/** A transaction on the state database: what is written here commits with the done-mark, or not at all. */
export interface Tx {
  query<R extends object = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ rows: R[]; rowCount: number | null }>;
}

/** Lines about a run; each carries function, key and runId. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface HandlerContext {
  /** Opened at its first query, so a handler that does not use it holds no transaction open. */
  readonly tx: Tx;
  /**
   * Stable over all attempts of this revision, never used again, and safe in an HTTP header: the idempotency
   * key for effects elsewhere.
   */
  readonly runId: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Aborts at time-out, when the lease is lost, and at the end of a shutdown's grace. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** Of this attempt, in the form of W3C Trace Context: for calls to other services. Null where nothing is traced. */
  readonly traceparent: string | null;
}

/** An event a handler gives back; it is sent after the done-mark is committed, at least once, with a stable id. */
export interface OutgoingEvent {
  /** CloudEvents `type`. */
  readonly type: string;
  /** CloudEvents `subject`; the set's key unless given. */
  readonly subject?: string;
  /** JSON data. */
  readonly data?: unknown;
}

/** How failed attempts are tried again: exponential back-off between `first` and `max`, half of it jitter. */
export interface RetryPolicy {
  /**
   * Attempts in all before the run rests as failed; 10 unless given. An attempt counts when its handler
   * starts. One that a shutdown cuts short does not count, nor one that the state database fails.
   */
  readonly attempts?: number;
  /** Upper bound of the first wait; 1 second unless given. */
  readonly first?: Duration;
  /** Upper bound of any wait; 5 minutes unless given. */
  readonly max?: Duration;
}

export interface FunctionDefinition<P extends string = string, K extends string = string> {
  /** Lower-case letters, digits and dashes; the file or folder in `functions/` has the same name. */
  readonly name: string;
  readonly parts: Readonly<Record<P, Part>>;
  /** When a set is complete: all parts unless given. */
  readonly complete?: Rule<P>;
  /** A set still incomplete so long after its first row arrived is reported with what is missing. */
  readonly overdueAfter?: Duration;
  /**
   * What becomes of sets that the connector's initial snapshot finds complete: they count as done without a
   * run (`skip`, the default), or they run (`run`). Order of arrival makes no difference, with one exception:
   * where updates alone complete a set before any of its rows was read by the snapshot (deliveries were
   * reordered, by a retry for instance), it runs, once. At that moment these updates look like those of
   * rows that were created after the snapshot, and waiting for the snapshot would withhold such sets.
   */
  readonly history?: 'skip' | 'run';
  /** One attempt may take so long; 5 minutes unless given. */
  readonly timeout?: Duration;
  readonly retry?: RetryPolicy;
  /** Runs at a time over all pods; no bound unless given. */
  readonly concurrency?: number;
  /** Done sets lose their rows and run details after this time (the done marker stays); 30 days unless given. */
  readonly keepFor?: Duration;
  /**
   * Even the done marker is forgotten after this time; never unless given. A set that comes again then runs
   * again, under the next revision: revisions and `runId`s are not used twice.
   */
  readonly forgetAfter?: Duration;
  /**
   * Does the work. A promise that it leaves behind and that rejects ends the attempt. One that computes for
   * seconds without a pause holds up everything else in its process, though its lease is kept.
   *
   * What it returns is published; what it throws is tried again, a {@link TerminalError} is not.
   */
  handle(set: CompleteSet<P, K>, context: HandlerContext): Result;
}

type KeyColumn<Q extends Record<string, Part>> = {
  [N in keyof Q]: Q[N]['key'] extends readonly (infer C extends string)[]
    ? C
    : Q[N]['key'] extends string
      ? Q[N]['key']
      : never;
}[keyof Q];

/** What a handler may return. */
type Result = Promise<readonly OutgoingEvent[] | void> | readonly OutgoingEvent[] | void;

/**
 * Makes each property of `T` that `Known` lacks an error. TypeScript looks for excess properties only in
 * literals, and not within what it infers or what a function returns; there a typo would be ignored.
 */
type Only<T, Known> = { readonly [X in Exclude<keyof T, keyof Known>]: never };

/** Events within what a handler returns. */
type EventOf<R> = Awaited<R> extends infer A ? (A extends readonly (infer E)[] ? E : never) : never;
/** Properties that they have and an event does not. */
type Misspelt<E> = E extends E ? Exclude<keyof E, keyof OutgoingEvent> & string : never;
/** What a handler returns, or something it can't be: the property's name is the compiler's message. */
type OnlyEvents<R> = [Misspelt<EventOf<R>>] extends [never]
  ? R
  : { readonly [X in Misspelt<EventOf<R>> as `an event has no property '${X}'`]: never };

/** Declares a function; part names and key columns become types, so a typo does not compile. */
export function defineFunction<const Q extends Record<string, Part>, const D, R extends Result>(
  definition: {
    readonly parts: Q & { readonly [N in keyof Q]: Q[N] & Only<Q[N], Part> };
    handle(
      set: CompleteSet<keyof Q & string, KeyColumn<Q>>,
      context: HandlerContext,
    ): R & OnlyEvents<R>;
  } & Omit<FunctionDefinition<keyof Q & string, KeyColumn<Q>>, 'parts' | 'handle'> &
    D &
    Only<D, FunctionDefinition> &
    (D extends { readonly retry: infer P } ? { readonly retry: Only<P, RetryPolicy> } : unknown),
): FunctionDefinition<keyof Q & string, KeyColumn<Q>> {
  return definition;
}

/** A record of a Kafka topic. */
export interface TopicRecord {
  /** Offsets are numbers: at 58,000 records/s a partition comes to 2^53 after 4,900 years. */
  readonly offset: number;
  /** Epoch milliseconds, by the producer's clock or the broker's, as the topic is set. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  /** Null is a tombstone. */
  readonly value: Buffer | null;
  /** The last value of each name; empty where it has none. */
  readonly headers: Readonly<Record<string, Buffer>>;
}

/** Records of one partition that are applied in one transaction. */
export interface Chunk {
  readonly topic: string;
  readonly partition: number;
  /** Where it begins and where the next one does; offsets between may be missing (compaction, transactions). */
  readonly from: number;
  readonly next: number;
  /** Offset behind the partition's newest record, as far as known: `end - next` records wait behind this chunk. */
  readonly end: number;
}

/** How far a projection is in a partition. */
export interface Position {
  readonly topic: string;
  readonly partition: number;
  /** Everything below it is applied. */
  readonly next: number;
  /**
   * Offset behind the newest record when the partition's owner last looked, every second or so. With
   * `next` equal to it the partition is idle; a `reportedAt` long past says that nobody reads it now.
   */
  readonly end: number;
  readonly reportedAt: Date;
}

export interface SettleContext {
  /** Of every partition that was ever assigned, by topic and partition. */
  readonly positions: readonly Position[];
  /** The database's clock at the begin of the transaction. */
  readonly now: Date;
  readonly log: Log;
}

/** A stream of records that folds into tables of the function's own. */
export interface ProjectionDefinition<R = unknown> {
  /** Lower-case letters, digits and dashes; the file or folder in `functions/` has the same name. */
  readonly name: string;
  readonly topic: string;
  /** Records in a transaction at most; 10,000 unless given. */
  readonly chunkRecords?: number;
  /**
   * A chunk that is not full waits so long for more, from its first record on; 100 milliseconds unless
   * given. Larger chunks cost less, and under full load they are full anyway.
   */
  readonly linger?: Duration;
  /**
   * Reads a record, outside of any transaction: what it gives is passed to `apply`, a record it gives
   * `undefined` for is skipped. What it throws says that the record can't be understood: the record is
   * parked with topic, partition, offset and the message, and the partition goes on.
   */
  read(record: TopicRecord): R | undefined;
  /**
   * Writes what the records change, through `tx` alone: it commits together with the partition's
   * position, so each record is applied exactly once. Chunks of a partition come one after another in
   * the order of offsets, chunks of different partitions at the same time; how a stream is cut into
   * chunks is up to load and chance, so the result must not depend on it.
   *
   * A value that Postgres refuses and a {@link TerminalError} are the fault of a record, which is found
   * by halves and parked; after any other error the same records come again.
   */
  apply(records: readonly R[], chunk: Chunk, tx: Tx): Promise<void>;
  /**
   * Periodic work in a transaction of its own, in one process at a time over all pods, also while
   * partitions are idle. `true` says that there is more to do at once.
   */
  settle?(tx: Tx, context: SettleContext): Promise<boolean | void>;
  /** 1 second unless given. */
  readonly settleEvery?: Duration;
}

/** What a file in `functions/` may define. */
export type Definition = FunctionDefinition | ProjectionDefinition;

/** Declares a projection: the lower-level form, for streams that fold into tables of their own. */
export function defineProjection<R, const D = unknown>(
  definition: ProjectionDefinition<R> & D & Only<D, ProjectionDefinition>,
): ProjectionDefinition<R> {
  return definition;
}

/**
 * No retry can help: a run rests as failed at once, and a projection's record is parked.
 */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';

  /** By name: a function that is bundled by itself throws one of a copy of this class. */
  static override [Symbol.hasInstance](error: unknown): boolean {
    return error instanceof Error && error.name === 'TerminalError';
  }
}
