import { randomUUID } from 'node:crypto';
import { CompressionTypes, Kafka, logLevel } from 'kafkajs';
import { expect, vi } from 'vitest';
import { readKafkaConfig } from '../../src/config/config.ts';
import { readTopic } from '../../src/kafka/read-topic.ts';
import { connectKafka } from '../../src/kafka/client.ts';
import { test } from './support/test.ts';

vi.setConfig({ testTimeout: 90_000 });

const silent = { info() {}, warn() {}, error() {} };
/** Values larger than a block of any codec, partly repetitive, partly random. */
const VALUES = Array.from({ length: 300 }, (_, i) =>
  JSON.stringify({ i, id: randomUUID(), text: `${'again '.repeat(300)}${randomUUID()}` }),
);

test.for(['gzip', 'snappy', 'lz4', 'zstd'])(
  'records compressed by Java with %s are read',
  async (codec, { pipeline }) => {
    const { address } = await pipeline.stack.broker();
    const topic = `${codec}-${randomUUID()}`;
    const plain = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING });
    const admin = plain.admin();
    await admin.connect();
    // the broker recompresses records of another codec with its own libraries
    const configEntries = [{ name: 'compression.type', value: codec }];
    await admin.createTopics({ topics: [{ topic, configEntries }], waitForLeaders: true });
    await admin.disconnect();
    await produce(plain, topic, CompressionTypes.None);

    expect(await valuesOf(address, topic)).toEqual(VALUES);
  },
);

test.for([
  ['gzip', CompressionTypes.GZIP],
  ['snappy', CompressionTypes.Snappy],
  ['zstd', CompressionTypes.ZSTD],
] as const)(
  'records compressed by Muster with %s are read by Java',
  async ([, type], { pipeline }) => {
    const { address } = await pipeline.stack.broker();
    const topic = `ours-${randomUUID()}`;
    const kafka = connectKafka(readKafkaConfig({ KAFKA_BROKERS: address }), silent);
    const admin = kafka.admin();
    await admin.connect();
    // the broker has to decompress them to write them uncompressed
    const configEntries = [{ name: 'compression.type', value: 'uncompressed' }];
    await admin.createTopics({ topics: [{ topic, configEntries }], waitForLeaders: true });
    await admin.disconnect();
    await produce(kafka, topic, type);

    expect(await valuesOf(address, topic)).toEqual(VALUES);
  },
);

async function produce(kafka: Kafka, topic: string, compression: CompressionTypes): Promise<void> {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, compression, messages: VALUES.map((value) => ({ value })) });
  await producer.disconnect();
}

async function valuesOf(address: string, topic: string): Promise<(string | undefined)[]> {
  const kafka = connectKafka(readKafkaConfig({ KAFKA_BROKERS: address }), silent);
  const values: (string | undefined)[] = [];
  const { signal } = new AbortController();
  const options = { fromBeginning: true, toEnd: true, signal };
  await readTopic(kafka, topic, options, async ({ message }) => {
    values.push(message.value?.toString());
  });
  return values;
}
