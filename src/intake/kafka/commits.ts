import type { Consumer } from 'kafkajs';
import type { Log } from '../../function.ts';
import { errorText } from '../../lib/error-text.ts';
import { metadataOf } from './consumer.ts';

/** Where a partition is. */
export interface PartitionOffset {
  readonly topic: string;
  readonly partition: number;
  readonly next: number;
  /** Id of the topic, where it is known. */
  readonly topicId: string | null;
}

/**
 * Tells Kafka where the partitions of a member are, so that its lag is true; of a projection nothing
 * else depends on it.
 */
export class Commits {
  readonly #consumer: Consumer;
  readonly #log: Log;
  #committed = new Map<string, number>();

  constructor(consumer: Consumer, log: Log) {
    this.#consumer = consumer;
    this.#log = log;
  }

  /** Others may have committed for these partitions: what is told next is told in any case. */
  forget(): void {
    this.#committed = new Map();
  }

  /** What fails, in a rebalance or without a broker, comes with the next. */
  async commit(places: readonly PartitionOffset[]): Promise<void> {
    const committed = this.#committed;
    const news = places.filter((each) => committed.get(keyOf(each)) !== each.next);
    if (news.length === 0) return;
    try {
      await this.#consumer.commitOffsets(
        news.map(({ topic, partition, next, topicId }) => ({
          topic,
          partition,
          offset: String(next),
          ...metadataOf(topicId),
        })),
      );
      for (const each of news) committed.set(keyOf(each), each.next);
    } catch (error) {
      this.#log.info({ error: errorText(error) }, 'offsets are committed to Kafka later');
    }
  }
}

function keyOf({ topic, partition }: PartitionOffset): string {
  return `${topic} ${partition}`;
}
