import type { Admin } from 'kafkajs';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { type KafkaContext, topicOf } from './topics.ts';
import { recordTopicsOf, tablesOf } from '../../definitions/streams.ts';
import { plural } from '../plural.ts';

export const groups: Check<KafkaContext> = {
  id: 'kafka.groups',
  title: 'consumer groups',
  async run(context) {
    const there = await context.admin.listTopics();
    const findings: Finding[] = [];
    for (const specification of context.specifications) {
      const tables = tablesOf([specification]).toSorted();
      const topics = [
        ...tables.map((table) => topicOf(context, table)),
        ...recordTopicsOf([specification]),
      ];
      // Events come from a Broker, or in topics that only TOPIC names.
      if (topics.length === 0) continue;
      const fn = specification.name;
      findings.push(...(await checkGroup(context, { fn, tables, topics }, there)));
    }
    for (const { fn, topic } of context.streams) {
      findings.push(...(await checkGroup(context, { fn, tables: [], topics: [topic] }, there)));
    }
    return findings;
  },
};

/** What a function should read. */
interface Reading {
  readonly fn: string;
  readonly topics: readonly string[];
  /** Tables whose changes the topics contain; empty if they contain something else. */
  readonly tables: readonly string[];
}

async function checkGroup(
  context: KafkaContext,
  { fn, topics: wanted, tables }: Reading,
  there: readonly string[],
): Promise<Finding[]> {
  const { admin, groupOf } = context;
  const group = groupOf(fn);
  const [description] = (await admin.describeGroups([group])).groups;
  const state = description?.state ?? 'Dead';
  const stored = await admin.fetchOffsets({ groupId: group });
  const backlogs = await Promise.all(
    wanted.filter((topic) => there.includes(topic)).map((topic) => backlogOf(admin, group, topic)),
  );
  const lag = backlogs.reduce((sum, each) => sum + each.waiting, 0n);
  const deleted = backlogs.reduce((sum, each) => sum + each.deleted, 0n);
  const findings: Finding[] = [];
  if (state === 'Dead' && stored.length === 0) {
    return [
      problem(
        `consumer group ${group} of ${fn} does not exist: nothing reads its topics`,
        'kubectl get kafkasource   # does it exist, and is it ready? Or: muster doctor --group <its consumerGroup>',
      ),
    ];
  }
  if (deleted > 0n) {
    findings.push(
      problem(
        `${group}: ${plural(Number(deleted), 'record')} ${deleted === 1n ? 'was' : 'were'} deleted before the group read ${deleted === 1n ? 'it' : 'them'}`,
        tables.length > 0 ? resendRows(tables) : `raise retention.ms of ${wanted.join(', ')}`,
      ),
    );
  }
  const members = description?.members.length ?? 0;
  const message = `${group}: ${state}, ${plural(members, 'member')}, ${lag} records behind`;
  if (members === 0 && lag > 0n) {
    findings.push(
      problem(
        `${message}: no consumer is reading`,
        'kubectl describe kafkasource   # why is it not ready?',
      ),
    );
  }
  const unused = stored
    .filter(
      ({ topic, partitions }) =>
        !wanted.includes(topic) && partitions.some((p) => p.offset !== '-1'),
    )
    .map(({ topic }) => topic);
  if (unused.length > 0) {
    findings.push(
      problem(
        `${group} reads topics of tables that ${fn} does not use; their events are ignored: ${unused.join(', ')}`,
        'remove them from spec.topics of the KafkaSource',
      ),
    );
  }
  return findings.length > 0 ? findings : [fine(message)];
}

/** Returns a statement for the source; its table is the connector's signal.data.collection. */
export function resendRows(tables: readonly string[]): string {
  const signal = JSON.stringify({ 'data-collections': tables, type: 'incremental' });
  return `insert into debezium.dbz_signal values (gen_random_uuid(), 'execute-snapshot', '${signal}');   -- at the source: sends every row again`;
}

/** Dead letters wait until `muster redeliver` or a KafkaSource of their own has posted them again. */
export const deadLetters: Check<KafkaContext> = {
  id: 'kafka.dead_letters',
  title: 'dead letters',
  async run({ admin, brokers, deadLetters: named, specifications }) {
    const there = await admin.listTopics();
    const usual = specifications.map(({ name }) => `${name}-dead`);
    const wanted = named.length > 0 ? named : usual.filter((topic) => there.includes(topic));
    if (wanted.length === 0) return [unchecked('no topic given: use --dead-letters <topic>')];
    const findings: Finding[] = [];
    for (const topic of wanted) {
      if (!there.includes(topic)) {
        findings.push(
          problem(
            `there is no topic ${topic}: events that can't be delivered are lost`,
            `kafka-topics.sh --bootstrap-server ${brokers} --create --topic ${topic} --partitions 3`,
          ),
        );
        continue;
      }
      const readers = [`muster-redeliver-${topic}`, `muster-${topic}`];
      const backlogs = await Promise.all(readers.map((group) => backlogOf(admin, group, topic)));
      const [waiting] = backlogs.map((each) => each.waiting).toSorted((a, b) => (a < b ? -1 : 1));
      findings.push(
        waiting === 0n
          ? fine(`${topic}: none waiting`)
          : problem(
              `${topic}: ${plural(Number(waiting), 'event')} could not be delivered`,
              `muster redeliver --dead-letters ${topic} --brokers ${brokers} --to <where Muster listens>`,
            ),
      );
    }
    return findings;
  },
};

/** Counts the records of a topic that a group has yet to read, and those deleted before it could. */
async function backlogOf(
  admin: Admin,
  groupId: string,
  topic: string,
): Promise<{ waiting: bigint; deleted: bigint }> {
  const ends = await admin.fetchTopicOffsets(topic);
  const [stored] = await admin.fetchOffsets({ groupId, topics: [topic] });
  let waiting = 0n;
  let deleted = 0n;
  for (const { partition, low, high } of ends) {
    const offset = stored?.partitions.find((each) => each.partition === partition)?.offset ?? '-1';
    const oldest = BigInt(low);
    const next = offset === '-1' ? oldest : BigInt(offset);
    if (next < oldest) deleted += oldest - next;
    const left = BigInt(high) - (next > oldest ? next : oldest);
    if (left > 0n) waiting += left;
  }
  return { waiting, deleted };
}
