import type { Admin, Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import { describeTopic } from '../../kafka/protocol.ts';
import type { Committed, Look } from './record-handler.ts';
import type { Batch } from './owned-partition.ts';

const MIB = 1024 * 1024;

/** Creates a member of a consumer group that commits no offsets automatically. */
export function consumerOf(kafka: Kafka, groupId: string, sessionTimeout: number): Consumer {
  return kafka.consumer({
    groupId,
    sessionTimeout,
    rebalanceTimeout: 30_000,
    heartbeatInterval: Math.min(1_000, sessionTimeout / 5),
    // Maximum time for which an idle fetch delays a new member, or a partition that is fetched again.
    maxWaitTimeInMs: 250,
    minBytes: 1,
    // A decoded response takes five times as much memory. Each partition is limited to its share, because otherwise
    // those at the end of the list would get nothing while the first ones lag.
    maxBytes: 6 * MIB,
    maxBytesPerPartition: MIB / 2,
    allowAutoTopicCreation: false,
    // After a crash everything is recreated, including the client: an old client caches topics that no longer exist.
    retry: { restartOnFailure: () => Promise.resolve(false) },
  });
}

/** Joins the group and passes on what is fetched. */
export async function receiveFrom(
  consumer: Consumer,
  topics: readonly string[],
  receive: (topic: string, partition: number, batch: Batch) => void,
): Promise<void> {
  // This is all that kafkajs reports of aborted transactions and of control records.
  consumer.on('consumer.start_batch_process', ({ payload: { topic, partition, ...batch } }) => {
    if (batch.batchSize > 0) return;
    receive(topic, partition, { ...batch, messages: [], fetchedOffset: null });
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: 1,
    eachBatch: ({ batch }: EachBatchPayload) => {
      const { topic, partition, highWatermark, messages } = batch;
      // kafkajs does not declare it.
      const { fetchedOffset } = batch as unknown as { fetchedOffset: string };
      const lastOffset = batch.lastOffset();
      receive(topic, partition, { fetchedOffset, lastOffset, highWatermark, messages });
      return Promise.resolve();
    },
  });
}

/**
 * Resumes fetching partitions, at their position or at an offset, or pauses them. A consumer that has crashed ignores
 * this; its crash is reported elsewhere and ends the membership.
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

/** Sets the offset of a partition's next fetch. */
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

/**
 * Returns the offset ranges of these partitions and the id of the topic; throws if the topic is deleted and created
 * again at the same time.
 */
export async function lookAt(
  admin: Admin,
  topic: string,
  partitions: readonly number[],
): Promise<Look> {
  const before = await describeTopic(admin, topic);
  const offsets = await admin.fetchTopicOffsets(topic);
  const now = await describeTopic(admin, topic);
  if (before?.id !== now?.id) throw new Error(`${topic} is being recreated`);
  const ranges = offsets
    .filter((each) => partitions.includes(each.partition))
    .map(({ partition, low, high }) => ({ partition, low: Number(low), high: Number(high) }));
  return { id: now?.id ?? null, partitions: now?.partitions ?? null, ranges };
}

/** Prefix of the topic's id in the metadata of an offset. */
const TOPIC_ID = 'topic=';

/** Returns the committed offsets of the group. */
export async function committedOf(
  admin: Admin,
  groupId: string,
  topic: string,
  partitions: readonly number[],
): Promise<Committed[]> {
  const [group] = await admin.fetchOffsets({ groupId, topics: [topic] });
  return partitions.map((partition) => {
    const stored = group?.partitions.find((each) => each.partition === partition);
    const offset = stored === undefined || Number(stored.offset) < 0 ? null : Number(stored.offset);
    const metadata = stored?.metadata ?? '';
    const topicId = metadata.startsWith(TOPIC_ID) ? metadata.slice(TOPIC_ID.length) : null;
    return { partition, offset, topicId };
  });
}

/** Metadata of an offset, which tells offsets of this topic from those of a later topic with its name. */
export function metadataOf(topicId: string | null): { readonly metadata?: string } {
  return topicId === null ? {} : { metadata: `${TOPIC_ID}${topicId}` };
}
