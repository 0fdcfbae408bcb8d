import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { once } from 'node:events';
import type { Kafka } from 'kafkajs';
import type { Movement } from './simulation.ts';

/** A destination of movements. */
export interface Destination {
  /** Resolves when the movements are stored. */
  send(movements: readonly Movement[]): Promise<void>;
  /** Resolves when no movement is in flight any more. */
  end(): Promise<void>;
}

export const KEYS = ['none', 'sensor', 'traveler'] as const;
export type Key = (typeof KEYS)[number];

/** Writes lines of JSON to a file; `-` is standard output. */
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
 * Writes to a topic, which is created with these partitions if it doesn't exist. Without a key, each batch
 * goes to the next partition: cheaper than record by record, and a traveler's order is lost just the same.
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
