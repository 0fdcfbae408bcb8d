import type { Admin, ConfigResourceTypes } from 'kafkajs';
import type { Config } from '../../config/config.ts';
import type { Specification } from '../../definitions/specification.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { tablesOf } from '../source/publication.ts';
import { bytes, duration, plural } from '../words.ts';

/** A function that folds a topic instead of the changes of tables. */
export interface Stream {
  readonly fn: string;
  readonly topic: string;
}

/** What the checks of Kafka look at. */
export interface KafkaContext {
  readonly admin: Admin;
  /** Bootstrap servers, for commands. */
  readonly brokers: string;
  /** With brokers and login. */
  readonly config: Config;
  readonly specifications: readonly Specification[];
  /** Functions that read a topic of their own. */
  readonly streams: readonly Stream[];
  /** The connector's `topic.prefix`. */
  readonly prefix: string;
  /** Consumer group of a function's source. */
  readonly groupOf: (fn: string) => string;
  /** Topics that events go to which could not be delivered; empty: those of the usual names. */
  readonly deadLetters: readonly string[];
}

/** kafkajs' enum can't be imported by name from an ES module. */
const TOPIC: ConfigResourceTypes.TOPIC = 2;

/** Of the connector itself: heartbeats, transactions, messages, and the table that takes its orders. */
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
    const wanted = tablesOf(specifications).map((table) => topicOf(context, table));
    const create = (topic: string) =>
      `kafka-topics.sh --bootstrap-server ${brokers} --create --topic ${topic} --partitions 12`;
    const findings: Finding[] = [];
    for (const { fn, topic } of streams) {
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
              `there is no topic ${topic}: nothing was written to its table yet, or topic.prefix is not ${prefix}`,
              create(topic),
            ),
      );
    }
    const others = there.filter(
      (topic) =>
        topic.startsWith(`${prefix}.`) && !wanted.includes(topic) && !OF_CONNECTOR.test(topic),
    );
    if (others.length > 0) findings.push(fine(`of no function: ${others.join(', ')}`));
    return findings;
  },
};

async function replication(admin: Admin, topic: string): Promise<Finding> {
  const [metadata] = (await admin.fetchTopicMetadata({ topics: [topic] })).topics;
  const partitions = metadata!.partitions;
  const headless = partitions.filter(({ leader }) => leader < 0);
  const behind = partitions.filter(({ isr, replicas }) => isr.length < replicas.length);
  const copies = Math.min(...partitions.map(({ replicas }) => replicas.length));
  const says = `${topic}: ${plural(partitions.length, 'partition')}, ${plural(copies, 'replica')}`;
  const mend = `kafka-topics.sh --describe --topic ${topic}   # which broker is away?`;
  if (headless.length > 0) {
    return problem(
      `${says}; ${headless.length} without a leader: nothing of them is delivered`,
      mend,
    );
  }
  if (behind.length > 0) return problem(`${says}; ${behind.length} not on all their brokers`, mend);
  const { brokers } = await admin.describeCluster();
  return copies === 1 && brokers.length > 1
    ? problem(
        `${says} on ${brokers.length} brokers: a disk that is lost takes events along`,
        `raise replicas of the KafkaTopic to 3, or: kafka-reassign-partitions.sh`,
      )
    : fine(says);
}

export const retention: Check<KafkaContext> = {
  id: 'kafka.retention',
  title: 'retention',
  async run(context) {
    const there = await context.admin.listTopics();
    const findings: Finding[] = [];
    for (const table of tablesOf(context.specifications)) {
      const topic = topicOf(context, table);
      if (!there.includes(topic)) findings.push(unchecked(`there is no topic ${topic}`));
      else findings.push(...(await judgeSettings(context, topic)));
    }
    return findings;
  },
};

async function judgeSettings(
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
  const rememberedMs = config.TOMBSTONE_DAYS * 86_400_000;
  const findings: Finding[] = [];
  if (policy !== 'delete') {
    findings.push(
      problem(
        `${topic} has cleanup.policy=${policy}: changes go before they are read, and tombstones may cover other rows of their key`,
        set('cleanup.policy=delete'),
      ),
    );
  }
  if (policy.includes('delete') && (retentionMs < 0 || retentionMs >= rememberedMs)) {
    const kept = retentionMs < 0 ? 'for ever' : `for ${duration(retentionMs / 1000)}`;
    findings.push(
      problem(
        `${topic} keeps changes ${kept}, deleted rows are remembered for ${config.TOMBSTONE_DAYS} days (TOMBSTONE_DAYS): a replay would bring older ones back`,
        retentionMs < 0
          ? set('retention.ms=604800000')
          : `TOMBSTONE_DAYS=${Math.ceil(retentionMs / 86_400_000) + 1}, or: ${set('retention.ms=604800000')}`,
      ),
    );
  }
  if (largest > config.BODY_LIMIT_MIB * 1024 * 1024) {
    findings.push(
      problem(
        `${topic} takes messages of ${bytes(largest)}, an event may have ${config.BODY_LIMIT_MIB} MiB (BODY_LIMIT_MIB): a larger one is refused for good`,
        `BODY_LIMIT_MIB=${Math.ceil(largest / 1024 / 1024)}`,
      ),
    );
  }
  if (findings.length > 0) return findings;
  return [fine(`${topic}: cleanup.policy=delete, kept for ${duration(retentionMs / 1000)}`)];
}
