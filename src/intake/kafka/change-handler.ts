import type { Log } from '../../function.ts';
import type { RecordChunk } from '../../state/projections/chunks.ts';
import type { LostRecords, Progress } from '../../state/projections/positions.ts';
import { readCloudEvents } from '../cloudevents/cloudevent.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import type { Assignment, Committed, RecordHandler, Look, Start } from './record-handler.ts';
import type { EventIngestor } from '../ingest.ts';
import { toRequest } from '../../kafka/read-topic.ts';

/** As many events as a few statements take. */
const CHUNK_RECORDS = 1_024;
const CHUNK_BYTES = 1024 * 1024;
/** Chunks at a time: what they hold is far below what may wait for the database. */
const CHUNKS = 8;

/**
 * Change events of a function of sets, ingested as if a KafkaSource had posted them. Positions are those of
 * the consumer group, committed after the records are ingested: what is ingested twice is a duplicate.
 */
export class ChangeHandler implements RecordHandler {
  readonly name: string;
  readonly topics: readonly string[];
  readonly chunkRecords = CHUNK_RECORDS;
  readonly chunkBytes = CHUNK_BYTES;
  readonly lingerMs = 0;
  readonly gate = new Semaphore(CHUNKS);
  readonly #ingestor: EventIngestor;
  readonly #lost: LostRecords;
  readonly #log: Log;
  readonly #onLost: (records: number) => void;

  constructor(
    place: { readonly name: string; readonly topics: readonly string[] },
    ingestor: EventIngestor,
    lost: LostRecords,
    log: Log,
    onLost: (records: number) => void,
  ) {
    this.name = place.name;
    this.topics = place.topics;
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
   * Where a partition goes on; null: the topic has no such partition now. An offset of another topic of this
   * name, or one beyond the end of a log that was cut, says nothing: everything is read, and what was
   * read before is a duplicate.
   */
  async #next(
    topic: string,
    { partition, offset, topicId }: Committed,
    { id, extents }: Look,
  ): Promise<number | null> {
    const extent = extents.find((each) => each.partition === partition);
    if (extent === undefined) return null;
    const { low, high } = extent;
    if (offset === null) return low;
    const place = { function: this.name, topic, partition };
    const isRemade = id !== null && topicId !== null && id !== topicId;
    if (isRemade || offset > high) {
      this.#log.warn(
        { ...place, position: offset, end: high },
        isRemade
          ? 'the topic was made anew, and is read from its beginning'
          : 'the position is beyond the end of the topic: it was made anew or its log was cut, and is read from its beginning',
      );
      return low;
    }
    if (offset >= low) return offset;
    await this.#lost.note(this.name, topic, partition, offset, low);
    this.#onLost(low - offset);
    this.#log.error(
      { ...place, from: offset, to: low, records: low - offset },
      'the topic no longer holds records that were not read yet; they are lost',
    );
    return low;
  }

  /** All of them are tried before the first failure is thrown; those ingested are duplicates next time. */
  async handle({ topic, partition, records, next }: RecordChunk): Promise<number> {
    const results = await Promise.allSettled(
      records.map((record) => {
        const message = { ...record, offset: String(record.offset) };
        const { headers, body } = toRequest({ topic, partition, message });
        headers['ce-kafkatopic'] = topic;
        const incoming = readCloudEvents(headers, body);
        return this.#ingestor.ingestRecord(incoming, headers, body);
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
    // A pause of a function of sets keeps its runs from starting; events are still ingested.
    return { paused: false, positions: new Map() };
  }
}
