import type { RecordChunk } from '../state/chunks.ts';
import type { Gate } from './gate.ts';
import type { Extent, Sight } from '../state/positions.ts';

/** What is known of a partition when a process is given it. */
export interface Assigned extends Extent {
  /** Where the consumer group is in Kafka; null: nowhere yet. */
  readonly committed: number | null;
}

/** Where reading a partition begins. */
export interface Start {
  readonly partition: number;
  readonly next: number;
  /** Timestamp of the record before, where it is known: another one there says that the topic was made anew. */
  readonly stamp: number | null;
  /** Why the partition is not read; null: it is. */
  readonly problem: string | null;
}

/** Where records of a function's topics go: what a partition's reader needs to know of state. */
export interface Destination {
  /** Name of the function. */
  readonly name: string;
  readonly topics: readonly string[];
  /** A chunk has at most so many records and bytes of them. */
  readonly chunkRecords: number;
  readonly chunkBytes: number;
  /** A chunk that is not full waits so long for more. */
  readonly lingerMs: number;
  /** Chunks at a time, of all partitions. */
  readonly gate: Gate;
  /** Decides where partitions begin, and reports records that the topic no longer holds. */
  begin(topic: string, assigned: readonly Assigned[]): Promise<Start[]>;
  /**
   * Resolves when the chunk is committed, or refused because somebody else owns the partition: gives
   * where it goes on, null where that is not known. Throws what may pass.
   */
  take(chunk: RecordChunk): Promise<number | null>;
  /** The record before the position is another one than was read: the partition rests. */
  rest(topic: string, partition: number, problem: string): Promise<void>;
  /** Told every second what the topic holds. */
  see(topic: string, extents: readonly Extent[]): Promise<Sight>;
}
