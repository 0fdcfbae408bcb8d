import { lastHeaders } from '../../kafka/headers.ts';
import type { KafkaMessage } from 'kafkajs';
import type { TopicRecord } from '../../function.ts';
import type { OffsetRange } from '../../state/projections/positions.ts';
import type { Start } from './record-handler.ts';
import type { PartitionReader } from './partition.ts';

/** What kafkajs fetched of a partition at once. */
export interface Batch {
  /** Where it fetched; null: not known, but where it was told to. */
  readonly fetchedOffset: string | null;
  readonly lastOffset: string;
  readonly highWatermark: string;
  readonly messages: readonly KafkaMessage[];
}

/**
 * A partition of this process: compares what kafkajs fetches with what it should be. kafkajs resets an
 * offset that the topic no longer holds by itself, and a topic that was recreated has other records at
 * the same offsets.
 */
export class OwnedPartition {
  readonly reader: PartitionReader;
  /** Id of the topic that it was begun in, where it is known. */
  readonly topicId: string | null;
  /** Records below are read only to be compared with the stamp. */
  readonly #from: number;
  readonly #lastTimestamp: number | null;
  #fetch: number;
  #isOff = false;
  #doubt: string | null = null;

  /** `low`: the earliest offset that the topic holds. */
  constructor(
    reader: PartitionReader,
    { next, lastTimestamp }: Start,
    low: number,
    topicId: string | null,
  ) {
    const isCompared = lastTimestamp !== null && next - 1 >= low;
    this.reader = reader;
    this.topicId = topicId;
    this.#from = next;
    this.#lastTimestamp = isCompared ? lastTimestamp : null;
    this.#fetch = isCompared ? next - 1 : next;
  }

  /** Where the next fetch is to begin. */
  get fetch(): number {
    return this.#fetch;
  }

  /**
   * Hands the records to the reader. `off`: kafkajs fetched elsewhere, so that what waits is to be taken,
   * and then the partition to begin anew. `remade`: the record before the first is another one than was
   * read.
   */
  receive(batch: Batch): 'taken' | 'off' | 'remade' {
    if (this.#isOff) return 'off';
    if (batch.fetchedOffset !== null && Number(batch.fetchedOffset) !== this.#fetch) {
      this.#isOff = true;
      return 'off';
    }
    const next = Number(batch.lastOffset) + 1;
    this.#fetch = next;
    const records = batch.messages.map(toRecord);
    const [first] = records;
    if (first !== undefined && first.offset < this.#from) {
      // It is the one before: the fetch began there, and kafkajs hands on nothing older.
      if (this.#lastTimestamp !== null && first.timestamp !== this.#lastTimestamp) return 'remade';
      records.splice(0, records.findLastIndex(({ offset }) => offset < this.#from) + 1);
    }
    if (next <= this.#from) return 'taken';
    let bytes = 0;
    for (const { value, key } of records) bytes += (value?.length ?? 0) + (key?.length ?? 0);
    this.reader.push({ records, bytes, next, end: Number(batch.highWatermark) });
    return 'taken';
  }

  /**
   * Is it to begin anew? A topic with another id is another one, of which nothing more is received. Where
   * the topic does not hold the next record any more, kafkajs says so with the first record that it finds
   * elsewhere, which may never come; and a person may have moved the position. Asked twice with the same
   * answer, because a chunk may have been committed and more been fetched meanwhile; and only when nothing
   * waits, for that is not lost.
   */
  isMisplaced(
    { low, high }: OffsetRange,
    stored: number | undefined,
    topicId: string | null,
  ): boolean {
    if (topicId !== null && this.topicId !== null && topicId !== this.topicId) this.#isOff = true;
    const fetch = this.#fetch;
    const { next, isIdle } = this.reader;
    const isDoubtful = fetch < low || fetch > high || (stored !== undefined && stored !== next);
    const doubt = isDoubtful ? `${fetch} ${next} ${stored}` : null;
    const isSure = this.#isOff || (doubt !== null && doubt === this.#doubt);
    this.#doubt = doubt;
    return isSure && isIdle;
  }
}

function toRecord(message: KafkaMessage): TopicRecord {
  const { offset, timestamp, key, value } = message;
  return {
    offset: Number(offset),
    timestamp: Number(timestamp),
    key,
    value,
    headers: lastHeaders(message),
  };
}
