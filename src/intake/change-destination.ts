import type { Log } from '../function.ts';
import type { RecordChunk } from '../state/chunks.ts';
import type { LostRecords, Sight } from '../state/positions.ts';
import { readCloudEvents } from './cloudevent.ts';
import { Gate } from './gate.ts';
import type { Assigned, Destination, Start } from './destination.ts';
import type { Taker } from './take.ts';
import { toRequest } from './topic.ts';

/** As many events as a few statements take. */
const CHUNK_RECORDS = 1_024;
const CHUNK_BYTES = 1024 * 1024;
/** Chunks at a time: what they hold is far below what may wait for the database. */
const CHUNKS = 8;

/**
 * Change events of a function of sets, filed as if a KafkaSource had posted them. Positions are those of
 * the consumer group, committed after the records are filed: what is filed twice is a duplicate.
 */
export class ChangeDestination implements Destination {
  readonly name: string;
  readonly topics: readonly string[];
  readonly chunkRecords = CHUNK_RECORDS;
  readonly chunkBytes = CHUNK_BYTES;
  readonly lingerMs = 0;
  readonly gate = new Gate(CHUNKS);
  readonly #taker: Taker;
  readonly #lost: LostRecords;
  readonly #log: Log;
  readonly #onLost: (records: number) => void;

  constructor(
    place: { readonly name: string; readonly topics: readonly string[] },
    taker: Taker,
    lost: LostRecords,
    log: Log,
    onLost: (records: number) => void,
  ) {
    this.name = place.name;
    this.topics = place.topics;
    this.#taker = taker;
    this.#lost = lost;
    this.#log = log;
    this.#onLost = onLost;
  }

  async begin(topic: string, assigned: readonly Assigned[]): Promise<Start[]> {
    const starts: Start[] = [];
    for (const { partition, low, high, committed } of assigned) {
      const isLost = committed !== null && committed < low;
      const isAhead = committed !== null && committed > high;
      const next = committed === null || isLost || isAhead ? low : committed;
      const place = { function: this.name, topic, partition };
      if (isLost) {
        await this.#lost.note(this.name, topic, partition, committed, low);
        this.#onLost(low - committed);
        this.#log.error(
          { ...place, from: committed, to: low, records: low - committed },
          'the topic no longer holds records that were not read yet; they are lost',
        );
      }
      if (isAhead) {
        this.#log.warn(
          { ...place, position: committed, end: high },
          'the position is beyond the end of the topic: it was made anew, and is read from its beginning',
        );
      }
      starts.push({ partition, next, stamp: null, problem: null });
    }
    return starts;
  }

  /** All of them are tried before the first failure is thrown; those filed are duplicates next time. */
  async take({ topic, partition, records, next }: RecordChunk): Promise<number> {
    const results = await Promise.allSettled(
      records.map((record) => {
        const message = { ...record, offset: String(record.offset) };
        const { headers, body } = toRequest({ topic, partition, message });
        headers['ce-kafkatopic'] = topic;
        const incoming = readCloudEvents(headers, body);
        return this.#taker.takeRecord(incoming, headers, body);
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    return next;
  }

  rest(): Promise<void> {
    return Promise.resolve();
  }

  see(): Promise<Sight> {
    // A pause of a function of sets keeps its runs from starting; events are still filed.
    return Promise.resolve({ paused: false, positions: new Map() });
  }
}
