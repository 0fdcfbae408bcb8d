import { randomUUID } from 'node:crypto';
import type { Admin, Consumer } from 'kafkajs';
import type { Log } from '../../function.ts';
import { connectKafka } from '../../kafka/client.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { type KafkaContext, topicOf } from './topics.ts';
import { tablesOf } from '../../definitions/streams.ts';
import { bytes } from '../plural.ts';

/** Number of newest records of each partition whose keys are measured. */
const SAMPLE = 100;
const TIMEOUT_MS = 15_000;
/** A KafkaSink accepts 8 KiB of headers: the key twice, the event's other attributes and the error. */
const MAX_FOR_SINK = 2.5 * 1024;
/** Less than half of the headers that the intake accepts, see HEADER_LIMIT in intake/http/protocol.ts. */
const MAX_FOR_INTAKE = 1024 * 1024;
const SILENT: Log = { info() {}, warn() {}, error() {} };

/** A KafkaSource sends a record's key in two headers of its request, and headers have limits. */
export const keySizes: Check<KafkaContext> = {
  id: 'kafka.key_sizes',
  title: 'key sizes',
  async run(context) {
    if (context.config.INTAKE === 'kafka') return [fine('INTAKE=kafka reads keys of any size')];
    const there = await context.admin.listTopics();
    const topics = tablesOf(context.specifications)
      .toSorted()
      .map((table) => topicOf(context, table))
      .filter((topic) => there.includes(topic));
    if (topics.length === 0) return [unchecked('there is no topic to check')];
    const longest = await longestKeys(context, topics);
    return topics.map((topic) => checkLongest(topic, longest.get(topic)));
  },
};

function checkLongest(topic: string, longest: number | undefined): Finding {
  if (longest === undefined) return unchecked(`${topic}: there is no record to check`);
  const message = `${topic}: keys have up to ${bytes(longest)}`;
  const remedy =
    'set message.key.columns of the connector to short columns; or read the topic with INTAKE=kafka';
  if (longest > MAX_FOR_INTAKE) {
    return problem(
      `${message}: a KafkaSource sends each twice, and the request is rejected permanently (431)`,
      remedy,
    );
  }
  if (longest > MAX_FOR_SINK) {
    return problem(
      `${message}: a dead letter carries the key twice, and a KafkaSink rejects more than 8 KiB of headers, so the dead letter would be lost`,
      remedy,
    );
  }
  return fine(message);
}

/** Returns the length in bytes of the longest key in the newest records of each topic that has any. */
async function longestKeys(
  { admin, config }: KafkaContext,
  topics: readonly string[],
): Promise<Map<string, number>> {
  const spans = await spansOf(admin, topics);
  const longest = new Map<string, number>();
  if (spans.size === 0) return longest;
  const groupId = `muster-doctor-${randomUUID()}`;
  const kafka = connectKafka(config, SILENT, { retries: 1 });
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 250 });
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics] });
    await readSpans(consumer, spans, (topic, key) => {
      longest.set(topic, Math.max(longest.get(topic) ?? 0, key));
    });
    return longest;
  } finally {
    await consumer.disconnect();
    await admin.deleteGroups([groupId]).catch(() => {});
  }
}

interface Span {
  readonly topic: string;
  readonly partition: number;
  readonly from: bigint;
  readonly to: bigint;
}

async function spansOf(admin: Admin, topics: readonly string[]): Promise<Map<string, Span>> {
  const spans = new Map<string, Span>();
  for (const topic of topics) {
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      const to = BigInt(high);
      const from = to - BigInt(SAMPLE) > BigInt(low) ? to - BigInt(SAMPLE) : BigInt(low);
      if (from < to) spans.set(`${topic}/${partition}`, { topic, partition, from, to });
    }
  }
  return spans;
}

/** Resolves once the spans are read; rejects if no record was read before the timeout. */
function readSpans(
  consumer: Consumer,
  spans: ReadonlyMap<string, Span>,
  onKey: (topic: string, bytes: number) => void,
): Promise<void> {
  const open = new Set(spans.keys());
  return new Promise((resolve, reject) => {
    let records = 0;
    const timer = setTimeout(() => {
      if (records > 0) resolve();
      else reject(new Error(`no record was read within ${TIMEOUT_MS / 1000} s`));
    }, TIMEOUT_MS);
    const end = (finish: () => void) => {
      clearTimeout(timer);
      finish();
    };
    consumer.on(consumer.events.CRASH, ({ payload }) => end(() => reject(payload.error)));
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      const { topic, partition, lastOffset } = payload;
      const name = `${topic}/${partition}`;
      if (BigInt(lastOffset) + 1n >= (spans.get(name)?.to ?? 0n)) open.delete(name);
      if (open.size === 0) end(resolve);
    });
    const running = consumer.run({
      autoCommit: false,
      eachBatch: ({ batch }) => {
        records += batch.messages.length;
        for (const { key } of batch.messages) onKey(batch.topic, key?.byteLength ?? 0);
        return Promise.resolve();
      },
    });
    const seek = async () => {
      await running;
      for (const { topic, partition, from } of spans.values()) {
        consumer.seek({ topic, partition, offset: String(from) });
      }
    };
    seek().catch((error: unknown) => end(() => reject(error)));
  });
}
