import kafkajs from 'kafkajs';
import { expect } from 'vitest';
import { muster } from '../cli/command.ts';
import { topics } from '../../src/doctor/kafka/kafka.ts';
import { groups } from '../../src/doctor/kafka/groups.ts';
import { grantRoles } from '../../src/state/schema/roles.ts';
import { reportOf } from '../doctor/examination.ts';
import { configOn } from '../support/engine.ts';
import { until } from '../support/until.ts';
import type { Road } from './support/road.ts';
import { test } from './support/test.ts';

const LIMIT = { timeout: 120_000 };

/** `muster doctor` with what the road's parts are called; the marks and words of one group. */
async function doctor(
  road: Road,
  flags: readonly string[] = [],
  settings: Record<string, string> = {},
) {
  const broker = await road.stack.broker();
  const { db, name } = road;
  const args = ['doctor', '--no-cluster', '--source', db.url, '--brokers', broker.address];
  const names = ['publication', 'slot', 'topic-prefix', 'group'].flatMap((each) => [
    `--${each}`,
    name,
  ]);
  const env = { DATABASE_URL: db.url, FUNCTIONS: 'recordings', ...settings };
  const { code, stdout } = await muster(env, [...args, ...names, '--json', ...flags]);
  const { findings } = JSON.parse(stdout) as {
    findings: { check: string; state: string; says: string; mend: string | null }[];
  };
  const of = (check: string) =>
    findings
      .filter((each) => each.check === check)
      .map(({ state, says: words }) => `${state}: ${words.replaceAll(name, 'NAME')}`);
  return { code, of, problems: findings.filter(({ state }) => state === 'problem') };
}

test('a road on which all is well has no problem', LIMIT, async ({ road }) => {
  await grantRoles(road.db.url, ['recordings']);
  await road.start();
  await road.insert(...road.pair());
  await road.processed(1);

  // 500 ms is how often the source in this process commits
  await until(async () => (await road.lag()) === 0n, 20_000);
  const { code, of, problems } = await doctor(road);
  expect(problems).toEqual([]);
  expect(code).toBe(0);
  expect(of('source.publication')).toEqual(['fine: NAME publishes datastore.signal']);
  expect(of('source.slot')).toEqual([expect.stringMatching(/^fine: NAME is read, /)]);
  expect(of('source.position')).toEqual([
    expect.stringMatching(/^fine: epoch 0: ingested up to \d+, the log is at \d+$/),
  ]);
  expect(of('source.replica_identity')).toEqual([
    'fine: datastore.signal: id; span, sensor_type short in 2 rows, so full is not needed',
  ]);
  expect(of('kafka.topics')).toEqual(['fine: NAME.datastore.signal: 3 partitions, 1 replica']);
  expect(of('kafka.retention')).toEqual([
    'fine: NAME.datastore.signal: cleanup.policy=delete, kept for 7.0 days',
  ]);
  expect(of('kafka.groups')).toEqual(['fine: NAME: Stable, 1 member, 0 records behind']);
});

test(
  'topics, groups and dead letters that are not as they should be are told',
  LIMIT,
  async ({ road }) => {
    const broker = await road.stack.broker();
    const early = await doctor(road);
    expect(early.code).toBe(1);
    expect(early.of('kafka.topics')).toEqual([
      'problem: there is no topic NAME.datastore.signal: nothing has been written to its table yet, or topic.prefix is not NAME',
    ]);
    expect(early.of('kafka.retention')).toEqual([
      'unchecked: there is no topic NAME.datastore.signal',
    ]);
    expect(early.of('kafka.groups')).toEqual([
      'problem: consumer group NAME of recordings does not exist: nothing reads its topics',
    ]);
    expect(early.of('kafka.dead_letters')).toEqual([
      'unchecked: no topic given: use --dead-letters <topic>',
    ]);

    await broker.createTopic(road.topic, 3);
    await broker.createTopic(`${road.name}.public.weather`, 1);
    const dead = `${road.name}-dead`;
    const kafka = await road.kafka();
    const admin = kafka.admin();
    await admin.connect();
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: kafkajs.ConfigResourceTypes.TOPIC,
          name: road.topic,
          configEntries: [
            { name: 'cleanup.policy', value: 'compact,delete' },
            { name: 'retention.ms', value: String(60 * 86_400_000) },
            { name: 'max.message.bytes', value: String(64 * 1024 * 1024) },
          ],
        },
      ],
    });
    const wrong = await doctor(road, ['--dead-letters', dead]);
    expect(wrong.of('kafka.topics')).toEqual([
      'fine: NAME.datastore.signal: 3 partitions, 1 replica',
      'fine: not used by any function: NAME.public.weather',
    ]);
    expect(wrong.of('kafka.retention')).toEqual([
      'problem: NAME.datastore.signal has cleanup.policy=compact,delete: changes may be deleted before they are read, and tombstones may hide other rows of their key',
      'problem: NAME.datastore.signal keeps changes for 60.0 days, but tombstones are kept for 30 days (TOMBSTONE_DAYS): a replay would restore rows deleted before that',
      'problem: NAME.datastore.signal accepts messages of 64 MiB, but events are limited to 16 MiB (BODY_LIMIT_MIB): larger ones are rejected permanently',
    ]);
    expect(wrong.of('kafka.dead_letters')).toEqual([
      "problem: there is no topic NAME-dead: events that can't be delivered are lost",
    ]);

    await broker.createTopic(dead, 2);
    await write(road, dead, 3);
    await write(road, road.topic, 9);
    await write(road, `${road.name}.public.weather`, 1);
    await commit(road, road.topic, road.name, '1');
    await commit(road, `${road.name}.public.weather`, road.name, '1');
    await admin.deleteTopicRecords({
      topic: road.topic,
      partitions: [{ partition: 0, offset: '2' }],
    });
    const behind = await doctor(road, ['--dead-letters', dead]);
    expect(behind.of('kafka.groups')).toEqual([
      'problem: NAME: 1 record was deleted before the group read it',
      'problem: NAME: Empty, 0 members, 5 records behind: no consumer is reading',
      'problem: NAME reads topics of tables that recordings does not use; their events are ignored: NAME.public.weather',
    ]);
    expect(behind.of('kafka.dead_letters')).toEqual([
      'problem: NAME-dead: 3 events could not be delivered',
    ]);
    // by a KafkaSource of their own
    await commit(road, dead, `muster-${dead}`, '3');
    const redelivered = await doctor(road, ['--dead-letters', dead]);
    expect(redelivered.of('kafka.dead_letters')).toEqual(['fine: NAME-dead: none waiting']);

    const context = {
      admin,
      brokers: broker.address,
      config: configOn(road.db),
      specifications: [],
      streams: [
        { fn: 'counts', topic: dead },
        { fn: 'sums', topic: `${road.name}-nothing` },
      ],
      prefix: road.name,
      groupOf: (fn: string) => (fn === 'counts' ? `muster-${dead}` : `${road.name}-sums`),
      deadLetters: [],
    };
    expect((await reportOf(topics, context)).slice(0, 2)).toEqual([
      `✓ ${dead}: 2 partitions, 1 replica`,
      `✗ there is no topic ${road.name}-nothing, which sums reads`,
    ]);
    expect(await reportOf(groups, context)).toEqual([
      `✓ muster-${dead}: Empty, 0 members, 0 records behind`,
      `✗ consumer group ${road.name}-sums of sums does not exist: nothing reads its topics`,
    ]);

    const asTls = await doctor(road, [], { KAFKA_TLS: '1' });
    expect(asTls.of('kafka.reachable')).toEqual([expect.stringMatching(/^problem: .*TLS/)]);
    await admin.disconnect();
  },
);

test('keys that no dead letter can carry are told', LIMIT, async ({ road }) => {
  const broker = await road.stack.broker();
  const sizes = async (settings = {}) => (await doctor(road, [], settings)).of('kafka.key_sizes');
  expect(await sizes()).toEqual(['unchecked: there is no topic to check']);
  await broker.createTopic(road.topic, 3);
  expect(await sizes()).toEqual(['unchecked: NAME.datastore.signal: there is no record to check']);
  await write(road, road.topic, 9);
  expect(await sizes()).toEqual(['fine: NAME.datastore.signal: keys have up to 1 B']);
  await write(road, road.topic, 1, 'k'.repeat(3 * 1024));
  await write(road, road.topic, 9);
  expect(await sizes()).toEqual([
    'problem: NAME.datastore.signal: keys have up to 3.0 KiB: a dead letter carries the key twice, and a KafkaSink rejects more than 8 KiB of headers, so the dead letter would be lost',
  ]);
  const admin = (await road.kafka()).admin();
  await admin.connect();
  const { groups: left } = await admin.listGroups();
  expect(left.filter(({ groupId }) => groupId.startsWith('muster-doctor-'))).toEqual([]);
  await admin.disconnect();
});

async function write(road: Road, topic: string, count: number, key?: string): Promise<void> {
  const producer = (await road.kafka()).producer({ idempotent: true });
  await producer.connect();
  const partitions = topic === road.topic ? 3 : 1;
  await producer.send({
    topic,
    messages: Array.from({ length: count }, (_, i) => ({
      partition: i % partitions,
      key: key ?? `${i}`,
      value: `${i}`,
    })),
  });
  await producer.disconnect();
}

/** The group has read as far as this offset in each partition. */
async function commit(road: Road, topic: string, groupId: string, offset: string): Promise<void> {
  const admin = (await road.kafka()).admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.setOffsets({
    groupId,
    topic,
    partitions: ends.map(({ partition }) => ({ partition, offset })),
  });
  await admin.disconnect();
}
