import type { RecordChunk } from '../../state/projections/chunks.ts';
import type { Semaphore } from '../../lib/semaphore.ts';
import type { OffsetRange, Progress, TopicNow } from '../../state/projections/positions.ts';

/** Offset of the consumer group in a partition. */
export interface Committed {
  readonly partition: number;
  /** Null if the group has none. */
  readonly offset: number | null;
  /** Id of the topic that the offset belongs to, if it is known. */
  readonly topicId: string | null;
}

/** A topic and the current offset ranges of its partitions. */
export interface Look extends TopicNow {
  readonly ranges: readonly OffsetRange[];
}

/** Partitions that are assigned to this process. */
export interface Assignment {
  /** Offsets at the assignment; read first. */
  readonly committed: readonly Committed[];
  /**
   * Queries the topic. A position that is compared with an end has to be read before the end: ends only grow, so even
   * if the process pauses between the two, no position of this topic is beyond the end.
   */
  readonly look: () => Promise<Look>;
  /** Whether the partitions are still assigned to this process, as far as it knows. */
  readonly isOwner: () => boolean;
}

/** The offset at which reading a partition starts. */
export interface Start {
  readonly partition: number;
  readonly next: number;
  /** Timestamp of the record before, if it is known; if it differs, the topic was recreated. */
  readonly lastTimestamp: number | null;
  /** Why the partition is not read; null if it is. */
  readonly problem: string | null;
}

/** RecordHandler handles the records of a function's topics. */
export interface RecordHandler {
  /** Name of the function. */
  readonly name: string;
  readonly topics: readonly string[];
  /** Maximum number of records of a chunk, and of their bytes. */
  readonly chunkRecords: number;
  readonly chunkBytes: number;
  /** Time for which a chunk that is not full waits for more records. */
  readonly lingerMs: number;
  /** Limits the concurrent chunks of all partitions. */
  readonly semaphore: Semaphore;
  /** Decides where partitions start, and reports records that the topic no longer holds. */
  begin(topic: string, assignment: Assignment): Promise<Start[]>;
  /**
   * Resolves when the chunk is committed, or rejected because another process owns the partition: with the next
   * offset, or null if that is unknown. Throws transient errors.
   */
  handle(chunk: RecordChunk): Promise<number | null>;
  /**
   * Rests a partition, because the record before its position is not the one that was read; does nothing if the
   * position has been moved.
   */
  rest(topic: string, partition: number, next: number, problem: string): Promise<void>;
  /** Reports the progress of the topic, every second; `read` are the partitions that this process reads. */
  report(topic: string, read: readonly number[], look: Assignment['look']): Promise<Progress>;
}
