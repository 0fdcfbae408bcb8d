import { lastHeaders } from '../../kafka/headers.ts';
import type { KafkaMessage } from 'kafkajs';
import type { TopicRecord } from '../../function.ts';
import type { OffsetRange } from '../../state/projections/positions.ts';
import type { Start } from './record-handler.ts';
import type { PartitionReader } from './partition.ts';

/** The records of a partition in one fetch. */
export interface Batch {
  /** Offset of the fetch; null if it is unknown and therefore the requested one. */
  readonly fetchedOffset: string | null;
  readonly lastOffset: string;
  readonly highWatermark: string;
  readonly messages: readonly KafkaMessage[];
}

/**
 * OwnedPartition is a partition that is assigned to this process. It verifies that fetched records continue at the
 * position: kafkajs silently resets an offset that the topic no longer holds, and a topic that was recreated has other
 * records at the same offsets.
 */
export class OwnedPartition {
  readonly reader: PartitionReader;
  /** Id of the topic at the start, if it is known. */
  readonly topicId: string | null;
  /** Records below this offset are read only to compare the timestamp of the last one. */
  readonly #from: number;
  readonly #lastTimestamp: number | null;
  #fetch: number;
  #isOff = false;
  #doubt: string | null = null;

  /** `low` is the earliest offset that the topic holds. */
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

  /** Offset of the next fetch. */
  get fetch(): number {
    return this.#fetch;
  }

  /**
   * Passes the records to the reader. Returns `off` if kafkajs fetched at another offset: the waiting records have to
   * be handled, then the partition restarted. Returns `recreated` if the record before the first is not the one that
   * was read.
   */
  receive(batch: Batch): 'taken' | 'off' | 'recreated' {
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
      // This is the record before the position: the fetch began there.
      if (this.#lastTimestamp !== null && first.timestamp !== this.#lastTimestamp) {
        return 'recreated';
      }
      records.splice(0, records.findLastIndex(({ offset }) => offset < this.#from) + 1);
    }
    if (next <= this.#from) return 'taken';
    let bytes = 0;
    for (const { value, key } of records) bytes += (value?.length ?? 0) + (key?.length ?? 0);
    this.reader.push({ records, bytes, next, end: Number(batch.highWatermark) });
    return 'taken';
  }

  /**
   * Whether the partition has to restart. A topic with another id is another topic, and no more records of it arrive.
   * If the topic no longer holds the next record, kafkajs reveals that with the first record that it fetches elsewhere,
   * which may never come; and an operator may have moved the position. Two checks in a row must agree, because a chunk
   * may be committed and more records fetched between them; and no records may wait, because those are not lost.
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
