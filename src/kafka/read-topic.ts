import { randomUUID } from 'node:crypto';
import type { Kafka, KafkaMessage } from 'kafkajs';
import { retry, type RetrySchedule } from '../lib/retry.ts';

/** A record with its place in a topic. */
export interface KafkaRecord {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage;
}

export interface ReadOptions {
  /** Consumer group whose offsets are committed. Default: a temporary one, deleted at the end. */
  readonly group?: string;
  /** Whether to start at the oldest record if the group has no offset, rather than after the newest. */
  readonly fromBeginning: boolean;
  /** Whether to end once every record is read that existed at the start, rather than only by `signal`. */
  readonly toEnd: boolean;
  readonly signal: AbortSignal;
}

/**
 * Reads a topic record by record. Commits an offset when `each` has resolved for the record. If `each`
 * throws, reading ends and the record stays unread.
 */
export async function readTopic(
  kafka: Kafka,
  topic: string,
  options: ReadOptions,
  each: (record: KafkaRecord) => Promise<void>,
): Promise<void> {
  const groupId = options.group ?? `muster-${randomUUID()}`;
  const admin = kafka.admin();
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 250, retry: { retries: 5 } });
  await admin.connect();
  try {
    const open = await unread(admin, groupId, topic);
    if (options.toEnd && open.size === 0) return;
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: options.fromBeginning });
    await new Promise<void>((resolve, reject) => {
      options.signal.addEventListener('abort', () => resolve(), { once: true });
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
      void consumer.run({
        autoCommit: false,
        eachMessage: async ({ partition, message }) => {
          try {
            await each({ topic, partition, message });
          } catch (error) {
            reject(error);
            consumer.pause([{ topic }]);
            return;
          }
          const next = BigInt(message.offset) + 1n;
          if (options.group !== undefined) {
            await consumer.commitOffsets([{ topic, partition, offset: String(next) }]);
          }
          if (next >= (open.get(partition) ?? 0n)) open.delete(partition);
          if (options.toEnd && open.size === 0) resolve();
        },
      });
    });
  } finally {
    await consumer.disconnect();
    if (options.group === undefined) await admin.deleteGroups([groupId]).catch(() => {});
    await admin.disconnect();
  }
}

/** kafkajs requests offsets only once, and a broker that has just started answers that it is still loading. */
const BROKER_LOADING: RetrySchedule = {
  attempts: 20,
  firstMs: 250,
  maxMs: 250,
  isRetryable: (error) => (error as { retriable?: boolean }).retriable === true,
};

/** Returns the end offsets of the partitions in which the group has unread records. */
async function unread(
  admin: ReturnType<Kafka['admin']>,
  groupId: string,
  topic: string,
): Promise<Map<number, bigint>> {
  const ends = await admin.fetchTopicOffsets(topic);
  const [stored] = await retry(
    () => admin.fetchOffsets({ groupId, topics: [topic] }),
    BROKER_LOADING,
  );
  const open = new Map<number, bigint>();
  for (const { partition, low, high } of ends) {
    const offset = stored?.partitions.find((each) => each.partition === partition)?.offset ?? '-1';
    const next = offset === '-1' ? BigInt(low) : BigInt(offset);
    if (next < BigInt(high)) open.set(partition, BigInt(high));
  }
  return open;
}
