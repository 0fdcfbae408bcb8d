import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { once } from 'node:events';
import type { Kafka } from 'kafkajs';
import type { Movement } from './simulation.ts';

/** Where movements go. */
export interface Destination {
  /** Settles when they are there. */
  send(movements: readonly Movement[]): Promise<void>;
  /** Settles when nothing is under way any more. */
  end(): Promise<void>;
}

export const KEYS = ['none', 'sensor', 'traveler'] as const;
export type Key = (typeof KEYS)[number];

/** Lines of JSON; `-` is standard output. */
export function toFile(path: string): Destination {
  const stream = path === '-' ? process.stdout : createWriteStream(path);
  return {
    async send(movements) {
      if (movements.length === 0) return;
      const text = `${movements.map(({ value }) => value).join('\n')}\n`;
      if (!stream.write(text)) await once(stream, 'drain');
    },
    async end() {
      if (stream === process.stdout) return;
      stream.end();
      await finished(stream);
    },
  };
}

/**
 * A topic, which is made with these partitions if it is not there. Records without a key go to the
 * partitions in turn, a batch to each: cheaper than one by one, and as far from a traveler's order.
 */
export async function toKafka(
  kafka: Kafka,
  { topic, partitions, key }: { topic: string; partitions: number; key: Key },
): Promise<Destination> {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({
    topics: [{ topic, numPartitions: partitions }],
    waitForLeaders: true,
  });
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const there = topics[0]!.partitions.length;
  await admin.disconnect();
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  let turn = 0;
  return {
    async send(movements) {
      const messages = movements.map((movement) => {
        if (key === 'none') return { value: movement.value, partition: turn++ % there };
        return { value: movement.value, key: String(movement[key]) };
      });
      if (messages.length > 0) await producer.send({ topic, messages });
    },
    end: () => producer.disconnect(),
  };
}
