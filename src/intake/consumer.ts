import type { Admin, Consumer, Kafka } from 'kafkajs';
import type { Extent } from '../state/positions.ts';
import type { Assigned } from './destination.ts';

const MIB = 1024 * 1024;

/** A member of a consumer group that commits nothing by itself. */
export function consumerOf(kafka: Kafka, groupId: string, sessionTimeout: number): Consumer {
  return kafka.consumer({
    groupId,
    sessionTimeout,
    rebalanceTimeout: 30_000,
    heartbeatInterval: Math.min(1_000, sessionTimeout / 5),
    // The longest a further member, or a partition that is fetched again, has to wait.
    maxWaitTimeInMs: 250,
    minBytes: 1,
    // An answer takes five times as much memory once it is decoded. A partition gets no more than its
    // share of it, or those at the end of the list would get nothing while the first are behind.
    maxBytes: 6 * MIB,
    maxBytesPerPartition: MIB / 2,
    allowAutoTopicCreation: false,
    // What crashes is made anew from the client on: an old one believes in topics that are gone.
    retry: { restartOnFailure: () => Promise.resolve(false) },
  });
}

/**
 * Fetches partitions, from where they were or from an offset on, or fetches them no more. A consumer that
 * has crashed fetches nothing: that is told elsewhere, and ends the membership.
 */
export function setFetching(
  consumer: Consumer,
  isFetching: boolean,
  topic: string,
  partitions: readonly number[],
): void {
  const which = [{ topic, partitions: [...partitions] }];
  tolerate(() => (isFetching ? consumer.resume(which) : consumer.pause(which)));
}

/** The next fetch of a partition begins there. */
export function seekTo(consumer: Consumer, topic: string, partition: number, offset: number): void {
  tolerate(() => consumer.seek({ topic, partition, offset: String(offset) }));
}

function tolerate(work: () => void): void {
  try {
    work();
  } catch (error) {
    if ((error as Error).name !== 'KafkaJSNonRetriableError') throw error;
  }
}

/** What a topic holds of these partitions. */
export async function extentsOf(
  admin: Admin,
  topic: string,
  partitions: readonly number[],
): Promise<Extent[]> {
  return (await admin.fetchTopicOffsets(topic))
    .filter((each) => partitions.includes(each.partition))
    .map(({ partition, low, high }) => ({ partition, low: Number(low), high: Number(high) }));
}

/** The same, and where the group is in them. */
export async function assignedOf(
  admin: Admin,
  groupId: string,
  topic: string,
  partitions: readonly number[],
): Promise<Assigned[]> {
  const extents = await extentsOf(admin, topic, partitions);
  const [group] = await admin.fetchOffsets({ groupId, topics: [topic] });
  return extents.map((extent) => {
    const stored = group?.partitions.find((each) => each.partition === extent.partition)?.offset;
    const committed = stored === undefined || Number(stored) < 0 ? null : Number(stored);
    return { ...extent, committed };
  });
}
