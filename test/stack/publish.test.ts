import { randomUUID } from 'node:crypto';
import { HTTP, Kafka as KafkaBinding, type CloudEvent } from 'cloudevents';
import { Kafka, logLevel, type IHeaders, type KafkaMessage } from 'kafkajs';
import { expect, onTestFinished, vi } from 'vitest';
import { readKafkaConfig } from '../../src/config/config.ts';
import { Broker } from '../../dev/stack/broker.ts';
import { toRequest } from '../../src/cli/dead-letters.ts';
import { readTopic, type KafkaRecord } from '../../src/kafka/read-topic.ts';
import { connectKafka } from '../../src/kafka/client.ts';
import { KafkaSink, RETRY } from '../../src/outbox/kafka-sink.ts';
import type { SinkEvent } from '../../src/outbox/sink.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import type { TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { test } from './support/test.ts';

vi.setConfig({ testTimeout: 90_000 });

const silent = { info() {}, warn() {}, error() {} };
const { signal } = new AbortController();

const three = pairOf({
  handle: (set) => [0, 1, 2].map((n) => ({ type: 'pair.done', data: { set: set.keyText, n } })),
});

async function newTopic(
  address: string,
  settings: Record<string, string> = {},
  numPartitions = 3,
): Promise<string> {
  const topic = `out-${randomUUID()}`;
  const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
  await admin.createTopics({
    topics: [{ topic, numPartitions, configEntries }],
    waitForLeaders: true,
  });
  await admin.disconnect();
  return topic;
}

async function recordsOf(address: string, topic: string): Promise<KafkaRecord[]> {
  const kafka = connectKafka(readKafkaConfig({ KAFKA_BROKERS: address }), silent);
  const records: KafkaRecord[] = [];
  const options = { fromBeginning: true, toEnd: true, signal };
  await readTopic(kafka, topic, options, async (record) => void records.push(record));
  return records;
}

const eventOf = (id: string, more: Partial<SinkEvent> = {}): SinkEvent => ({
  id,
  key: 'x',
  source: '/muster/pair',
  type: 'pair.done',
  subject: 'x',
  time: new Date('2026-11-21T12:00:00Z'),
  data: '{"n":1}',
  ...more,
});

function sinkOn(
  address: string,
  topic: string,
  extensions: Record<string, string> = {},
): KafkaSink {
  const kafka = connectKafka(readKafkaConfig({ KAFKA_BROKERS: address }), silent, RETRY);
  const sink = new KafkaSink(kafka, topic, extensions);
  onTestFinished(() => sink.close());
  return sink;
}

const textOf = (headers: IHeaders | undefined) =>
  Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, String(value)]));

test('an event is a binary CloudEvent whose record is keyed by its set', async ({ pipeline }) => {
  const { address } = await pipeline.stack.broker();
  const topic = await newTopic(address);
  const sink = sinkOn(address, topic, { region: 'eu1' });
  const data = '{"id":9007199254740993,"name":"Zoë"}';
  const key = '["r","[0,60)"]';
  const trace = '00-0af7651916cd43dd8448eb211c80319c';
  const [traceparent, hop] = [`${trace}-b7ad6b7169203331-01`, `${trace}-2ae06a0479943b0f-01`];
  const event = eventOf('pair/x/1/0', { key, data, subject: 'Zoë', traceparent, hop });
  expect(await sink.send(event, signal)).toEqual({ kind: 'sent' });
  expect(await sink.send(eventOf('pair/x/1/1', { data: null }), signal)).toEqual({ kind: 'sent' });

  const records = await recordsOf(address, topic);
  const [full, bare] = records.toSorted((a, b) => idOf(a).localeCompare(idOf(b)));
  expect(full!.message.key?.toString()).toBe(key);
  expect(full!.message.value?.toString()).toBe(data);
  expect(textOf(full!.message.headers)).toEqual({
    'content-type': 'application/json',
    ce_specversion: '1.0',
    ce_id: 'pair/x/1/0',
    ce_source: '/muster/pair',
    ce_type: 'pair.done',
    ce_subject: 'Zoë',
    ce_time: '2026-11-21T12:00:00.000Z',
    ce_region: 'eu1',
    ce_traceparent: traceparent,
    traceparent: hop,
  });
  expect(bare!.message.value).toBeNull();
  expect(textOf(bare!.message.headers)).not.toHaveProperty('content-type');
  // the SDK can read the record, and a KafkaSource converts it to the same event
  expect(read(full!.message)).toMatchObject({ id: 'pair/x/1/0', subject: 'Zoë', region: 'eu1' });
  const { headers, body } = toRequest(full!);
  expect(HTTP.toEvent({ headers, body: body.toString() })).toMatchObject({
    id: 'pair/x/1/0',
    source: '/muster/pair',
  });
  expect(headers).toMatchObject({ 'ce-traceparent': traceparent, traceparent: hop });
});

test('non-ASCII attributes are read back unchanged', async ({ pipeline }) => {
  const { address } = await pipeline.stack.broker();
  const topic = await newTopic(address);
  const sink = sinkOn(address, topic, { city: 'Łódź' });
  const texts = ['渋谷', 'two\nlines', '50% "off"', 'naïve 🚋'];
  const events = texts.map((text) => eventOf('a', { key: text, type: text, subject: text }));
  for (const event of [...events, eventOf('b', { subject: '' })]) {
    expect(await sink.send(event, signal)).toEqual({ kind: 'sent' });
  }
  const records = await recordsOf(address, topic);
  const got = records.map(({ message }) => read(message));
  const bySubject = new Map(got.map((event) => [event.subject, event]));
  for (const text of texts) expect(bySubject.get(text)).toMatchObject({ type: text, city: 'Łódź' });
  expect(got.find(({ id }) => id === 'b')!.subject).toBeUndefined();
  expect(new Set(records.map(({ message }) => message.key!.toString()))).toEqual(
    new Set([...texts, 'x']),
  );
});

test('the events of many sets arrive once, in order in each set', async ({ pipeline, db }) => {
  const { address } = await pipeline.stack.broker();
  const topic = await newTopic(address);
  const engine = await engineOn(db, [three], { SINK_TOPIC: topic, KAFKA_BROKERS: address });
  const keys = Array.from({ length: 200 }, (_, i) => `k${i}`);
  await Promise.all(
    keys.flatMap((key) => [partA(key), partB(key)]).map((each) => engine.ingestor.ingest(each)),
  );
  await until(async () => (await sent(db)) === 600);
  await engine.stop();

  const records = await recordsOf(address, topic);
  expect(records.length).toBe(600);
  expect(new Set(records.map(({ partition }) => partition))).toEqual(new Set([0, 1, 2]));
  const bySet = Map.groupBy(records, ({ message }) => message.key!.toString());
  for (const [key, mine] of bySet) {
    expect(mine.map(idOf)).toEqual([0, 1, 2].map((n) => `pair/${key}/1/${n}`));
  }
});

test('events wait while the broker is down; after a restart it receives all of them', async ({
  pipeline,
  db,
}) => {
  const broker = await Broker.start(await pipeline.stack.install(), pipeline.stack.newFolder());
  onTestFinished(() => broker.kill());
  const topic = await newTopic(broker.address);
  const settings = { SINK_TOPIC: topic, KAFKA_BROKERS: broker.address };
  const engine = await engineOn(db, [three], settings);
  const complete = (...keys: string[]) =>
    Promise.all(
      keys.flatMap((key) => [partA(key), partB(key)]).map((each) => engine.ingestor.ingest(each)),
    );
  await complete('before');
  await until(async () => (await sent(db)) === 3);

  await broker.kill();
  await complete('meanwhile', 'too');
  await until(
    async () => (await db.query('select from muster.outbox where error is not null')).length > 0,
  );
  expect(await db.query('select from muster.outbox where failed_at is not null')).toEqual([]);
  await broker.restart();
  await until(async () => {
    await db.query(
      'update muster.outbox set due_at = now() where sent_at is null and attempts > 0',
    );
    return (await sent(db)) === 9;
  });
  await engine.stop();
  const ids = (await recordsOf(broker.address, topic)).map(idOf);
  for (const key of ['before', 'meanwhile', 'too']) {
    const mine = ids.filter((id) => id.startsWith(`pair/${key}/`));
    // a record whose acknowledgement was lost is written twice
    expect([...new Set(mine)]).toEqual([0, 1, 2].map((n) => `pair/${key}/1/${n}`));
  }
});

test('only the record that is too large is refused; those sent with it are accepted', async ({
  pipeline,
}) => {
  const { address } = await pipeline.stack.broker();
  const topic = await newTopic(address, { 'max.message.bytes': '2000' });
  const sink = sinkOn(address, topic);
  const large = JSON.stringify(Array.from({ length: 200 }, () => randomUUID()));
  const sendings = [eventOf('a'), eventOf('b', { data: large }), eventOf('c')];
  expect(await Promise.all(sendings.map((each) => sink.send(each, signal)))).toEqual([
    { kind: 'sent' },
    { kind: 'refused', error: expect.stringContaining('larger than the max') as string },
    { kind: 'sent' },
  ]);
  expect((await recordsOf(address, topic)).map(idOf).toSorted()).toEqual(['a', 'c']);
});

test('events wait for a missing topic, which is not created', async ({ pipeline }) => {
  const { address } = await pipeline.stack.broker();
  const sink = sinkOn(address, `none-${randomUUID()}`);
  expect(await sink.send(eventOf('a'), signal)).toMatchObject({ kind: 'again' });
});

test('a stopping process does not wait for a broker', async () => {
  const stopping = new AbortController();
  const sink = sinkOn('127.0.0.1:1', 't');
  const sending = sink.send(eventOf('a'), stopping.signal);
  stopping.abort(new Error('the process stops'));
  expect(await sending).toEqual({ kind: 'again', error: 'topic t: the process stops' });
  expect(await sink.send(eventOf('b'), stopping.signal)).toMatchObject({ kind: 'again' });
});

async function sent(db: TestDatabase): Promise<number> {
  return (await db.query('select from muster.outbox where sent_at is not null')).length;
}

function idOf({ message }: KafkaRecord): string {
  return String(message.headers?.['ce_id']);
}

function read({ key, value, headers }: KafkaMessage): CloudEvent {
  return KafkaBinding.toEvent({
    key: key?.toString(),
    value: value?.toString(),
    headers: textOf(headers),
    body: value?.toString(),
  } as never) as CloudEvent;
}
