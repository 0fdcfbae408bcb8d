import type { Consumer } from 'kafkajs';
import type { Log } from '../../function.ts';
import { errorText } from '../../lib/error-text.ts';
import { metadataOf } from './consumer.ts';

/** Position of a partition. */
export interface PartitionOffset {
  readonly topic: string;
  readonly partition: number;
  readonly next: number;
  /** Id of the topic, if it is known. */
  readonly topicId: string | null;
}

/**
 * Commits commits the positions of a member's partitions to Kafka, so that its consumer lag is correct. Nothing else
 * depends on the offsets of a projection.
 */
export class Commits {
  readonly #consumer: Consumer;
  readonly #log: Log;
  #committed = new Map<string, number>();

  constructor(consumer: Consumer, log: Log) {
    this.#consumer = consumer;
    this.#log = log;
  }

  /** Forgets what was committed, because other members may have committed for these partitions since. */
  forget(): void {
    this.#committed = new Map();
  }

  /** A commit that fails, in a rebalance or without a broker, is repeated with the next. */
  async commit(places: readonly PartitionOffset[]): Promise<void> {
    const committed = this.#committed;
    const news = places.filter(
      (each) => committed.get(keyOf(each.topic, each.partition)) !== each.next,
    );
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
      for (const { topic, partition, next } of news) committed.set(keyOf(topic, partition), next);
    } catch (error) {
      this.#log.info(
        { error: errorText(error) },
        'offsets could not be committed to Kafka, trying again',
      );
    }
  }
}

/** Returns the key of a partition in a map. */
export function keyOf(topic: string, partition: number): string {
  return `${topic} ${partition}`;
}
