import type { Admin } from 'kafkajs';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { type KafkaContext, topicOf } from './kafka.ts';
import { tablesOf } from '../source/publication.ts';
import { plural } from '../words.ts';

export const groups: Check<KafkaContext> = {
  id: 'kafka.groups',
  title: 'consumer groups',
  async run(context) {
    const there = await context.admin.listTopics();
    const findings: Finding[] = [];
    for (const specification of context.specifications) {
      const tables = tablesOf([specification]);
      const topics = tables.map((table) => topicOf(context, table));
      const fn = specification.name;
      findings.push(...(await judgeGroup(context, { fn, tables, topics }, there)));
    }
    for (const { fn, topic } of context.streams) {
      findings.push(...(await judgeGroup(context, { fn, tables: [], topics: [topic] }, there)));
    }
    return findings;
  },
};

/** What a function is to read. */
interface Reading {
  readonly fn: string;
  readonly topics: readonly string[];
  /** Those whose changes the topics hold; none where they hold something else. */
  readonly tables: readonly string[];
}

async function judgeGroup(
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
  const gone = backlogs.reduce((sum, each) => sum + each.gone, 0n);
  const findings: Finding[] = [];
  if (state === 'Dead' && stored.length === 0) {
    return [
      problem(
        `${group}, of ${fn}, is not there: nothing reads its topics`,
        'kubectl get kafkasource   # is it there and ready? muster doctor --group <its consumerGroup>',
      ),
    ];
  }
  if (gone > 0n) {
    findings.push(
      problem(
        `${group}: ${plural(Number(gone), 'record')} ${gone === 1n ? 'was' : 'were'} deleted before it read ${gone === 1n ? 'it' : 'them'}`,
        tables.length > 0 ? sendAgain(tables) : `raise retention.ms of ${wanted.join(', ')}`,
      ),
    );
  }
  const members = description?.members.length ?? 0;
  const says = `${group}: ${state}, ${plural(members, 'member')}, ${lag} records behind`;
  if (members === 0 && lag > 0n) {
    findings.push(
      problem(`${says}: nobody reads`, 'kubectl describe kafkasource   # why is it not ready?'),
    );
  }
  const strangers = stored
    .filter(
      ({ topic, partitions }) =>
        !wanted.includes(topic) && partitions.some((p) => p.offset !== '-1'),
    )
    .map(({ topic }) => topic);
  if (strangers.length > 0) {
    findings.push(
      problem(
        `${group} reads ${strangers.join(', ')}, of which ${fn} names no table: all of it is ignored`,
        'take it out of spec.topics of the KafkaSource',
      ),
    );
  }
  return findings.length > 0 ? findings : [fine(says)];
}

/** At the source; the name of the table is the connector's signal.data.collection. */
export function sendAgain(tables: readonly string[]): string {
  const signal = JSON.stringify({ 'data-collections': tables, type: 'incremental' });
  return `insert into debezium.dbz_signal values (gen_random_uuid(), 'execute-snapshot', '${signal}');   -- at the source: sends every row again`;
}

/** They wait until `muster redeliver` or a KafkaSource of their own has posted them again. */
export const deadLetters: Check<KafkaContext> = {
  id: 'kafka.dead_letters',
  title: 'dead letters',
  async run({ admin, brokers, deadLetters: named, specifications }) {
    const there = await admin.listTopics();
    const usual = specifications.map(({ name }) => `${name}-dead`);
    const wanted = named.length > 0 ? named : usual.filter((topic) => there.includes(topic));
    if (wanted.length === 0) return [unchecked('no topic is named: --dead-letters <topic>')];
    const findings: Finding[] = [];
    for (const topic of wanted) {
      if (!there.includes(topic)) {
        findings.push(
          problem(
            `there is no topic ${topic}: what can't be delivered is lost`,
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
          ? fine(`${topic}: none waits`)
          : problem(
              `${topic}: ${plural(Number(waiting), 'event')} could not be delivered`,
              `muster redeliver --dead-letters ${topic} --brokers ${brokers} --to <where Muster listens>`,
            ),
      );
    }
    return findings;
  },
};

/** Records of a topic that a group has still to read, and those that went before it did. */
async function backlogOf(
  admin: Admin,
  groupId: string,
  topic: string,
): Promise<{ waiting: bigint; gone: bigint }> {
  const ends = await admin.fetchTopicOffsets(topic);
  const [stored] = await admin.fetchOffsets({ groupId, topics: [topic] });
  let waiting = 0n;
  let gone = 0n;
  for (const { partition, low, high } of ends) {
    const offset = stored?.partitions.find((each) => each.partition === partition)?.offset ?? '-1';
    const oldest = BigInt(low);
    const next = offset === '-1' ? oldest : BigInt(offset);
    if (next < oldest) gone += oldest - next;
    const left = BigInt(high) - (next > oldest ? next : oldest);
    if (left > 0n) waiting += left;
  }
  return { waiting, gone };
}
