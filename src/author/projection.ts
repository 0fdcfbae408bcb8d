/** The second kind of function: a stream of Kafka records that folds into tables of the function's own. */
import type { Duration, Log, Tx } from './common.ts';
import type { Only } from './exact-types.ts';

/** A record of a Kafka topic. */
export interface TopicRecord {
  /** A number, because at 58,000 records/s a partition takes 4,900 years to reach 2^53. */
  readonly offset: number;
  /** Epoch milliseconds, by the clock of the producer or of the broker, as the topic is configured. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  /** Null in a tombstone. */
  readonly value: Buffer | null;
  /** Last value of each header; empty if the header has no value. */
  readonly headers: Readonly<Record<string, Buffer>>;
}

/** Consecutive records of one partition that are applied in one transaction. */
export interface Chunk {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the first record. Offsets in between may be missing (compaction, transactions). */
  readonly from: number;
  /** Offset at which the next chunk begins. */
  readonly next: number;
  /** Last known end offset of the partition: about `end - next` records wait behind this chunk. */
  readonly end: number;
}

/** Progress of a projection in one partition. */
export interface Position {
  readonly topic: string;
  readonly partition: number;
  /** Every record below this offset is applied. */
  readonly next: number;
  /**
   * End offset of the partition when its owner last looked, which it does about every second. The partition
   * is idle while `next` equals it.
   */
  readonly end: number;
  /** When `end` was reported. If that was long ago, no process reads the partition now. */
  readonly reportedAt: Date;
}

/** What {@link ProjectionDefinition.settle} receives beside its transaction. */
export interface SettleContext {
  /** One for each partition that has been assigned, ordered by topic and partition. */
  readonly positions: readonly Position[];
  /** Start of the transaction, by the clock of the database. */
  readonly now: Date;
  readonly log: Log;
}

/** A projection: how to read the records of a topic, and how to apply them to the function's tables. */
export interface ProjectionDefinition<R = unknown> {
  /**
   * Up to 63 lower-case letters, digits and dashes: a letter first, no dash last. Equals the name of the file or
   * folder in `functions/`.
   */
  readonly name: string;
  /** Kafka topic to read. */
  readonly topic: string;
  /** Maximum number of records in a transaction. Default: 10,000. */
  readonly chunkRecords?: number;
  /**
   * Time for which a chunk that is not full waits for more records, counted from its first one. Default: 100
   * milliseconds. Larger chunks cost less per record; under full load they are full anyway.
   */
  readonly linger?: Duration;
  /**
   * Parses a record, outside of any transaction. The value it returns is passed to `apply`; a record for
   * which it returns `undefined` is skipped. If it throws, the record is parked with its topic, partition,
   * offset and the error message, and the partition continues.
   */
  read(record: TopicRecord): R | undefined;
  /**
   * Writes what the records change, using `tx` alone: that commits atomically with the partition's position,
   * so each record is applied exactly once. Chunks of one partition are applied one after another in the
   * order of their offsets, chunks of different partitions concurrently. Where the stream is cut into chunks
   * depends on load and chance, so the result must not depend on it.
   *
   * A value that Postgres rejects and a {@link TerminalError} are attributed to a record, which is found by
   * bisection and parked. After any other error the same records are retried.
   */
  apply(records: readonly R[], chunk: Chunk, tx: Tx): Promise<void>;
  /**
   * Periodic work in a separate transaction, in one process at a time, even while partitions are idle. Returns
   * `true` to be called again at once. If it throws, the transaction is rolled back, and it is called again after
   * `settleEvery`.
   */
  settle?(tx: Tx, context: SettleContext): Promise<boolean | void>;
  /** Interval between calls of `settle`. Default: 1 second; maximum: 24 days. */
  readonly settleEvery?: Duration;
}

/** Declares a projection: the lower-level form, for a stream that folds into tables of its own. */
export function defineProjection<R, const D = unknown>(
  definition: ProjectionDefinition<R> & D & Only<D, ProjectionDefinition>,
): ProjectionDefinition<R> {
  return definition;
}
