import type { Admin, ConfigResourceTypes } from 'kafkajs';
import type { Config } from '../../config/config.ts';
import type { Specification } from '../../definitions/specification.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { recordTopicsOf, tablesOf } from '../../definitions/streams.ts';
import { bytes, duration, plural } from '../plural.ts';

/** A function that reads a topic of its own instead of the changes of tables. */
export interface Stream {
  readonly fn: string;
  readonly topic: string;
}

/** Input of the checks of Kafka. */
export interface KafkaContext {
  readonly admin: Admin;
  /** Bootstrap servers, as remedies need them. */
  readonly brokers: string;
  /** Includes the brokers and the login. */
  readonly config: Config;
  readonly specifications: readonly Specification[];
  /** Functions that read a topic of their own. */
  readonly streams: readonly Stream[];
  /** The connector's `topic.prefix`. */
  readonly prefix: string;
  /** Consumer group of a function's source. */
  readonly groupOf: (fn: string) => string;
  /** Topics for events that could not be delivered; if empty, those with the default names. */
  readonly deadLetters: readonly string[];
}

/** kafkajs' enum can't be imported by name from an ES module. */
const TOPIC: ConfigResourceTypes.TOPIC = 2;

/** Topics of the connector itself: heartbeats, transactions, logical messages, and its signal table. */
const OF_CONNECTOR = /\.(transaction|message|dbz_\w+|debezium_\w+)$/;

export function topicOf({ prefix }: Pick<KafkaContext, 'prefix'>, table: string): string {
  return `${prefix}.${table}`;
}

export const topics: Check<KafkaContext> = {
  id: 'kafka.topics',
  title: 'topics',
  async run(context) {
    const { admin, specifications, streams, prefix, brokers } = context;
    const there = (await admin.listTopics()).toSorted();
    const wanted = tablesOf(specifications)
      .toSorted()
      .map((table) => topicOf(context, table));
    const create = (topic: string) =>
      `kafka-topics.sh --bootstrap-server ${brokers} --create --topic ${topic} --partitions 12`;
    const findings: Finding[] = [];
    for (const { fn, topic } of [...streams, ...recordsOf(specifications)]) {
      findings.push(
        there.includes(topic)
          ? await replication(admin, topic)
          : problem(`there is no topic ${topic}, which ${fn} reads`, create(topic)),
      );
    }
    for (const topic of wanted) {
      findings.push(
        there.includes(topic)
          ? await replication(admin, topic)
          : problem(
              `there is no topic ${topic}: nothing has been written to its table yet, or topic.prefix is not ${prefix}`,
              create(topic),
            ),
      );
    }
    const others = there.filter(
      (topic) =>
        topic.startsWith(`${prefix}.`) && !wanted.includes(topic) && !OF_CONNECTOR.test(topic),
    );
    if (others.length > 0) findings.push(fine(`not used by any function: ${others.join(', ')}`));
    return findings;
  },
};

/** Returns the topics whose records are parts. */
function recordsOf(specifications: readonly Specification[]): Stream[] {
  return specifications.flatMap((each) =>
    recordTopicsOf([each]).map((topic) => ({ fn: each.name, topic })),
  );
}

async function replication(admin: Admin, topic: string): Promise<Finding> {
  const [metadata] = (await admin.fetchTopicMetadata({ topics: [topic] })).topics;
  const partitions = metadata!.partitions;
  const leaderless = partitions.filter(({ leader }) => leader < 0);
  const behind = partitions.filter(({ isr, replicas }) => isr.length < replicas.length);
  const copies = Math.min(...partitions.map(({ replicas }) => replicas.length));
  const message = `${topic}: ${plural(partitions.length, 'partition')}, ${plural(copies, 'replica')}`;
  const remedy = `kafka-topics.sh --describe --topic ${topic}   # which broker is down?`;
  if (leaderless.length > 0) {
    return problem(
      `${message}; ${leaderless.length} without a leader: their events are not delivered`,
      remedy,
    );
  }
  if (behind.length > 0) return problem(`${message}; ${behind.length} under-replicated`, remedy);
  const { brokers } = await admin.describeCluster();
  return copies === 1 && brokers.length > 1
    ? problem(
        `${message} on ${brokers.length} brokers: losing one disk loses events`,
        `raise replicas of the KafkaTopic to 3, or: kafka-reassign-partitions.sh`,
      )
    : fine(message);
}

export const retention: Check<KafkaContext> = {
  id: 'kafka.retention',
  title: 'retention',
  async run(context) {
    const there = await context.admin.listTopics();
    const findings: Finding[] = [];
    for (const table of tablesOf(context.specifications).toSorted()) {
      const topic = topicOf(context, table);
      if (!there.includes(topic)) findings.push(unchecked(`there is no topic ${topic}`));
      else findings.push(...(await checkSettings(context, topic)));
    }
    return findings;
  },
};

async function checkSettings(
  { admin, brokers, config }: KafkaContext,
  topic: string,
): Promise<Finding[]> {
  const names = ['cleanup.policy', 'retention.ms', 'max.message.bytes'];
  const answer = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: TOPIC, name: topic, configNames: names }],
  });
  const entries = answer.resources[0]!.configEntries;
  const valueOf = (name: string) => entries.find((each) => each.configName === name)!.configValue;
  const set = (setting: string) =>
    `kafka-configs.sh --bootstrap-server ${brokers} --entity-type topics --entity-name ${topic} --alter --add-config ${setting}`;
  const policy = valueOf('cleanup.policy');
  const retentionMs = Number(valueOf('retention.ms'));
  const largest = Number(valueOf('max.message.bytes'));
  const tombstoneMs = config.TOMBSTONE_DAYS * 86_400_000;
  const findings: Finding[] = [];
  if (policy !== 'delete') {
    findings.push(
      problem(
        `${topic} has cleanup.policy=${policy}: changes may be deleted before they are read, and tombstones may hide other rows of their key`,
        set('cleanup.policy=delete'),
      ),
    );
  }
  if (policy.includes('delete') && (retentionMs < 0 || retentionMs >= tombstoneMs)) {
    const kept = retentionMs < 0 ? 'forever' : `for ${duration(retentionMs / 1000)}`;
    findings.push(
      problem(
        `${topic} keeps changes ${kept}, but tombstones are kept for ${config.TOMBSTONE_DAYS} days (TOMBSTONE_DAYS): a replay would restore rows deleted before that`,
        retentionMs < 0
          ? set('retention.ms=604800000')
          : `TOMBSTONE_DAYS=${Math.ceil(retentionMs / 86_400_000) + 1}, or: ${set('retention.ms=604800000')}`,
      ),
    );
  }
  if (largest > config.BODY_LIMIT_MIB * 1024 * 1024) {
    findings.push(
      problem(
        `${topic} accepts messages of ${bytes(largest)}, but events are limited to ${config.BODY_LIMIT_MIB} MiB (BODY_LIMIT_MIB): larger ones are rejected permanently`,
        `BODY_LIMIT_MIB=${Math.ceil(largest / 1024 / 1024)}`,
      ),
    );
  }
  if (findings.length > 0) return findings;
  return [fine(`${topic}: cleanup.policy=delete, kept for ${duration(retentionMs / 1000)}`)];
}
