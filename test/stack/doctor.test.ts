import kafkajs from 'kafkajs';
import { expect } from 'vitest';
import { muster } from '../cli/command.ts';
import { topics } from '../../src/doctor/kafka/topics.ts';
import { groups } from '../../src/doctor/kafka/groups.ts';
import { grantRoles } from '../../src/state/schema/roles.ts';
import { reportOf } from '../doctor/examination.ts';
import { durableDatabase } from '../support/durable.ts';
import { configOn } from '../support/engine.ts';
import { until } from '../support/until.ts';
import type { Pipeline } from './support/pipeline.ts';
import { test } from './support/test.ts';

const LIMIT = { timeout: 120_000 };
const durable = test.extend('db', ({}, context) => durableDatabase({}, context));

/** Runs `muster doctor` with the names of the pipeline's parts; returns the results of one group. */
async function doctor(
  pipeline: Pipeline,
  flags: readonly string[] = [],
  settings: Record<string, string> = {},
) {
  const broker = await pipeline.stack.broker();
  const { db, name } = pipeline;
  const args = ['doctor', '--no-cluster', '--source', db.url, '--brokers', broker.address];
  const names = ['publication', 'slot', 'topic-prefix', 'group'].flatMap((each) => [
    `--${each}`,
    name,
  ]);
  const env = { DATABASE_URL: db.url, FUNCTIONS: 'recordings', ...settings };
  const { code, stdout } = await muster(env, [...args, ...names, '--json', ...flags]);
  const { findings } = JSON.parse(stdout) as {
    findings: { check: string; state: string; message: string; remedy: string | null }[];
  };
  const of = (check: string) =>
    findings
      .filter((each) => each.check === check)
      .map(({ state, message: words }) => `${state}: ${words.replaceAll(name, 'NAME')}`);
  return { code, of, problems: findings.filter(({ state }) => state === 'problem') };
}

durable('a healthy pipeline has no problems', LIMIT, async ({ pipeline }) => {
  await grantRoles(pipeline.db.url, ['recordings']);
  await pipeline.start();
  await pipeline.insert(...pipeline.pair());
  await pipeline.processed(1);

  // 500 ms is how often the source in this process commits
  await until(async () => (await pipeline.lag()) === 0n, 20_000);
  const { code, of, problems } = await doctor(pipeline);
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

test('problems of topics, groups and dead letters are reported', LIMIT, async ({ pipeline }) => {
  const broker = await pipeline.stack.broker();
  const early = await doctor(pipeline);
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

  await broker.createTopic(pipeline.topic, 3);
  await broker.createTopic(`${pipeline.name}.public.weather`, 1);
  const dead = `${pipeline.name}-dead`;
  const kafka = await pipeline.kafka();
  const admin = kafka.admin();
  await admin.connect();
  await admin.alterConfigs({
    validateOnly: false,
    resources: [
      {
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name: pipeline.topic,
        configEntries: [
          { name: 'cleanup.policy', value: 'compact,delete' },
          { name: 'retention.ms', value: String(60 * 86_400_000) },
          { name: 'max.message.bytes', value: String(64 * 1024 * 1024) },
        ],
      },
    ],
  });
  const wrong = await doctor(pipeline, ['--dead-letters', dead]);
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
  await write(pipeline, dead, 3);
  await write(pipeline, pipeline.topic, 9);
  await write(pipeline, `${pipeline.name}.public.weather`, 1);
  await commit(pipeline, pipeline.topic, pipeline.name, '1');
  await commit(pipeline, `${pipeline.name}.public.weather`, pipeline.name, '1');
  await admin.deleteTopicRecords({
    topic: pipeline.topic,
    partitions: [{ partition: 0, offset: '2' }],
  });
  const behind = await doctor(pipeline, ['--dead-letters', dead]);
  expect(behind.of('kafka.groups')).toEqual([
    'problem: NAME: 1 record was deleted before the group read it',
    'problem: NAME: Empty, 0 members, 5 records behind: no consumer is reading',
    'problem: NAME reads topics of tables that recordings does not use; their events are ignored: NAME.public.weather',
  ]);
  expect(behind.of('kafka.dead_letters')).toEqual([
    'problem: NAME-dead: 3 events could not be delivered',
  ]);
  // by a KafkaSource of their own
  await commit(pipeline, dead, `muster-${dead}`, '3');
  const redelivered = await doctor(pipeline, ['--dead-letters', dead]);
  expect(redelivered.of('kafka.dead_letters')).toEqual(['fine: NAME-dead: none waiting']);

  const context = {
    admin,
    brokers: broker.address,
    config: configOn(pipeline.db),
    specifications: [],
    streams: [
      { fn: 'counts', topic: dead },
      { fn: 'sums', topic: `${pipeline.name}-nothing` },
    ],
    prefix: pipeline.name,
    groupOf: (fn: string) => (fn === 'counts' ? `muster-${dead}` : `${pipeline.name}-sums`),
    deadLetters: [],
  };
  expect((await reportOf(topics, context)).slice(0, 2)).toEqual([
    `✓ ${dead}: 2 partitions, 1 replica`,
    `✗ there is no topic ${pipeline.name}-nothing, which sums reads`,
  ]);
  expect(await reportOf(groups, context)).toEqual([
    `✓ muster-${dead}: Empty, 0 members, 0 records behind`,
    `✗ consumer group ${pipeline.name}-sums of sums does not exist: nothing reads its topics`,
  ]);

  const asTls = await doctor(pipeline, [], { KAFKA_TLS: '1' });
  expect(asTls.of('kafka.reachable')).toEqual([expect.stringMatching(/^problem: .*TLS/)]);
  await admin.disconnect();
});

test('keys that no dead letter can carry are reported', LIMIT, async ({ pipeline }) => {
  const broker = await pipeline.stack.broker();
  const sizes = async (settings = {}) =>
    (await doctor(pipeline, [], settings)).of('kafka.key_sizes');
  expect(await sizes()).toEqual(['unchecked: there is no topic to check']);
  await broker.createTopic(pipeline.topic, 3);
  expect(await sizes()).toEqual(['unchecked: NAME.datastore.signal: there is no record to check']);
  await write(pipeline, pipeline.topic, 9);
  expect(await sizes()).toEqual(['fine: NAME.datastore.signal: keys have up to 1 B']);
  await write(pipeline, pipeline.topic, 1, 'k'.repeat(3 * 1024));
  await write(pipeline, pipeline.topic, 9);
  expect(await sizes()).toEqual([
    'problem: NAME.datastore.signal: keys have up to 3.0 KiB: a dead letter carries the key twice, and a KafkaSink rejects more than 8 KiB of headers, so the dead letter would be lost',
  ]);
  const admin = (await pipeline.kafka()).admin();
  await admin.connect();
  const { groups: left } = await admin.listGroups();
  expect(left.filter(({ groupId }) => groupId.startsWith('muster-doctor-'))).toEqual([]);
  await admin.disconnect();
});

async function write(
  pipeline: Pipeline,
  topic: string,
  count: number,
  key?: string,
): Promise<void> {
  const producer = (await pipeline.kafka()).producer({ idempotent: true });
  await producer.connect();
  const partitions = topic === pipeline.topic ? 3 : 1;
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

/** Commits this offset for the group in each partition. */
async function commit(
  pipeline: Pipeline,
  topic: string,
  groupId: string,
  offset: string,
): Promise<void> {
  const admin = (await pipeline.kafka()).admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.setOffsets({
    groupId,
    topic,
    partitions: ends.map(({ partition }) => ({ partition, offset })),
  });
  await admin.disconnect();
}
