import type { RecordChunk } from '../../state/projections/chunks.ts';
import type { Semaphore } from '../../lib/semaphore.ts';
import type { OffsetRange, Progress, TopicNow } from '../../state/projections/positions.ts';

/** Where the consumer group is in a partition. */
export interface Committed {
  readonly partition: number;
  /** Null: nowhere yet. */
  readonly offset: number | null;
  /** Id of the topic that the offset is of, where it is known. */
  readonly topicId: string | null;
}

/** A topic and its ends, as they are at this moment. */
export interface Look extends TopicNow {
  readonly extents: readonly OffsetRange[];
}

/** What a process that was given partitions can ask. */
export interface Assignment {
  /** Read before anything else. */
  readonly committed: readonly Committed[];
  /**
   * Looks at the topic. A position that is to be compared with an end is read before: ends only grow,
   * so that however long the process pauses between the two, no position of this topic is beyond the end.
   */
  readonly look: () => Promise<Look>;
  /** Were the partitions given to nobody else meanwhile, as far as this process knows? */
  readonly isOwner: () => boolean;
}

/** Where reading a partition begins. */
export interface Start {
  readonly partition: number;
  readonly next: number;
  /** Timestamp of the record before, where it is known: another one there says that the topic was recreated. */
  readonly lastTimestamp: number | null;
  /** Why the partition is not read; null: it is. */
  readonly problem: string | null;
}

/** Where records of a function's topics go: what a partition's reader needs to know of state. */
export interface RecordHandler {
  /** Name of the function. */
  readonly name: string;
  readonly topics: readonly string[];
  /** A chunk has at most so many records and bytes of them. */
  readonly chunkRecords: number;
  readonly chunkBytes: number;
  /** A chunk that is not full waits so long for more. */
  readonly lingerMs: number;
  /** Chunks at a time, of all partitions. */
  readonly gate: Semaphore;
  /** Decides where partitions begin, and reports records that the topic no longer holds. */
  begin(topic: string, assignment: Assignment): Promise<Start[]>;
  /**
   * Resolves when the chunk is committed, or refused because somebody else owns the partition: gives
   * where it goes on, null where that is not known. Throws errors that are transient.
   */
  handle(chunk: RecordChunk): Promise<number | null>;
  /** The record before the position is another one than was read: the partition rests, unless its position is another one by now. */
  rest(topic: string, partition: number, next: number, problem: string): Promise<void>;
  /** Looks at the topic, every second; `read` are the partitions that this process reads. */
  report(topic: string, read: readonly number[], look: Assignment['look']): Promise<Progress>;
}
