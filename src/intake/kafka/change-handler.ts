import type { Log } from '../../function.ts';
import type { RecordChunk } from '../../state/projections/chunks.ts';
import type { LostRecords, Progress } from '../../state/projections/positions.ts';
import { readRecord } from '../cloudevents/kafka-record.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import type { Assignment, Committed, RecordHandler, Look, Start } from './record-handler.ts';
import type { EventIngestor } from '../ingest.ts';

/** The events of a few statements. */
const CHUNK_RECORDS = 1_024;
const CHUNK_BYTES = 1024 * 1024;
/** Concurrent chunks; their events are far fewer than may wait for the database. */
const CHUNKS = 8;

/**
 * ChangeHandler ingests the change events of a set function as if a KafkaSource had posted them. Positions are
 * those of the consumer group, committed after the records are ingested. Records that are ingested a second time
 * are duplicates, which change nothing.
 */
export class ChangeHandler implements RecordHandler {
  readonly name: string;
  readonly topics: readonly string[];
  readonly chunkRecords = CHUNK_RECORDS;
  readonly chunkBytes = CHUNK_BYTES;
  readonly lingerMs = 0;
  readonly semaphore = new Semaphore(CHUNKS);
  readonly #ingestor: EventIngestor;
  readonly #lost: LostRecords;
  readonly #log: Log;
  readonly #onLost: (records: number) => void;

  constructor(
    subscription: { readonly name: string; readonly topics: readonly string[] },
    ingestor: EventIngestor,
    lost: LostRecords,
    log: Log,
    onLost: (records: number) => void,
  ) {
    this.name = subscription.name;
    this.topics = subscription.topics;
    this.#ingestor = ingestor;
    this.#lost = lost;
    this.#log = log;
    this.#onLost = onLost;
  }

  async begin(topic: string, { committed, look, isOwner }: Assignment): Promise<Start[]> {
    const now = await look();
    const starts: Start[] = [];
    for (const each of committed) {
      if (!isOwner()) return [];
      const next = await this.#next(topic, each, now);
      if (next !== null) {
        starts.push({ partition: each.partition, next, lastTimestamp: null, problem: null });
      }
    }
    return starts;
  }

  /**
   * Returns the offset at which a partition resumes, or null if the topic no longer has the partition. An offset
   * of an earlier topic of this name, or one beyond the end of a truncated log, is meaningless: the whole
   * partition is read, and what was read before is a duplicate.
   */
  async #next(
    topic: string,
    { partition, offset, topicId }: Committed,
    { id, ranges }: Look,
  ): Promise<number | null> {
    const range = ranges.find((each) => each.partition === partition);
    if (range === undefined) return null;
    const { low, high } = range;
    if (offset === null) return low;
    const fields = { function: this.name, topic, partition };
    const isRecreated = id !== null && topicId !== null && id !== topicId;
    if (isRecreated || offset > high) {
      this.#log.warn(
        { ...fields, position: offset, end: high },
        isRecreated
          ? 'the topic was recreated, and is read from its beginning'
          : 'the position is beyond the end of the topic, which was recreated or truncated, and is read from its beginning',
      );
      return low;
    }
    if (offset >= low) return offset;
    await this.#lost.note(this.name, topic, partition, offset, low);
    this.#onLost(low - offset);
    this.#log.error(
      { ...fields, from: offset, to: low, records: low - offset },
      'the topic no longer holds records that were not read; they are lost',
    );
    return low;
  }

  /** All records are tried before the first failure is thrown; those ingested are duplicates next time. */
  async handle({ topic, partition, records, next }: RecordChunk): Promise<number> {
    const results = await Promise.allSettled(
      records.map((record) => {
        const traceparent = record.headers['traceparent']?.toString();
        return this.#ingestor.ingestRecord(readRecord({ topic, partition, ...record }), {
          traceparent,
        });
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    return next;
  }

  rest(): Promise<void> {
    return Promise.resolve();
  }

  async report(
    _topic: string,
    _read: readonly number[],
    look: Assignment['look'],
  ): Promise<Progress> {
    await look();
    // A paused set function starts no runs; events are still ingested.
    return { paused: false, positions: new Map() };
  }
}
