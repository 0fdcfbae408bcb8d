import { randomUUID } from 'node:crypto';
import type { Kafka } from 'kafkajs';
import { until } from '../../support/until.ts';

export interface TopicRecord {
  readonly key: string | null;
  readonly value: string | null;
  /** The bytes of the value. */
  readonly bytes: Buffer | null;
}

/** Returns the number of records in the topic that the group has not committed. */
export async function lagOf(kafka: Kafka, topic: string, groupId: string): Promise<bigint> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const ends = await admin.fetchTopicOffsets(topic);
    const [group] = await admin.fetchOffsets({ groupId, topics: [topic] });
    return ends.reduce((sum, { partition, low, high }) => {
      const offset = group?.partitions.find((each) => each.partition === partition)?.offset;
      return sum + BigInt(high) - BigInt(offset === undefined || offset === '-1' ? low : offset);
    }, 0n);
  } finally {
    await admin.disconnect();
  }
}

/** Returns all records now in the topic. */
export async function recordsOf(kafka: Kafka, topic: string): Promise<TopicRecord[]> {
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  const open = new Map(
    ends.flatMap(({ partition, low, high }) => (low === high ? [] : [[partition, BigInt(high)]])),
  );
  const records: TopicRecord[] = [];
  const consumer = kafka.consumer({ groupId: randomUUID(), maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: ({ partition, message }) => {
      const { key, value, offset } = message;
      records.push({
        key: key?.toString() ?? null,
        value: value?.toString() ?? null,
        bytes: value,
      });
      if (BigInt(offset) + 1n >= (open.get(partition) ?? 0n)) open.delete(partition);
      return Promise.resolve();
    },
  });
  await until(() => open.size === 0);
  await consumer.disconnect();
  return records;
}
