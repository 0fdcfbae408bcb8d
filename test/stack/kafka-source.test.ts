import { expect } from 'vitest';
import { type RawAnswer, startRawSink } from '../dev/support/raw-sink.ts';
import { until } from '../support/until.ts';
import type { Pipeline } from './support/pipeline.ts';
import { test } from './support/test.ts';

const PER_PARTITION = 100;

/** A topic with three partitions full of records, and a sink that delays every answer. */
async function full(pipeline: Pipeline, held: number) {
  const broker = await pipeline.stack.broker();
  await broker.createTopic(pipeline.topic, 3);
  const producer = (await pipeline.kafka()).producer({ idempotent: true });
  await producer.connect();
  await producer.send({
    topic: pipeline.topic,
    messages: Array.from({ length: 3 * PER_PARTITION }, (_, n) => ({
      partition: n % 3,
      value: String(n),
    })),
  });
  await producer.disconnect();
  const sink = await startRawSink();
  const answers = Array.from({ length: held }, () => Promise.withResolvers<RawAnswer>());
  sink.answers.push(...answers.map(({ promise }) => promise));
  return { sink, answer: (n: number) => answers[n]!.resolve({ status: 204 }) };
}

const LIMIT = { timeout: 90_000 };

test('unordered, a poll adds 50 while fewer than 50 are in flight', LIMIT, async ({ pipeline }) => {
  const { sink, answer } = await full(pipeline, 1_000);
  const source = await pipeline.startSource({ sink: sink.url });
  await until(() => sink.requests.length === 50);
  answer(0);
  await until(() => sink.requests.length === 100);
  expect(source.inFlight).toBe(99);
  await source.stop();
  sink.close();
});

test(
  'ordered, one record of each partition is in flight, and the others follow in order',
  LIMIT,
  async ({ pipeline }) => {
    const { sink, answer } = await full(pipeline, 4);
    const source = await pipeline.startSource({ sink: sink.url, ordering: 'ordered' });
    await until(() => sink.requests.length === 3);
    answer(0);
    await until(() => sink.requests.length === 4);
    expect(source.inFlight).toBe(3);
    for (const held of [1, 2, 3]) answer(held);
    await until(() => source.counts.delivered === 3 * PER_PARTITION);
    const places = sink.requests.map(
      (request) =>
        /ce-id: partition:(\d)\/offset:(\d+)/.exec(request)!.slice(1).map(Number) as [
          number,
          number,
        ],
    );
    for (const partition of [0, 1, 2]) {
      const offsets = places.filter(([each]) => each === partition).map(([, offset]) => offset);
      expect(offsets).toEqual(Array.from({ length: PER_PARTITION }, (_, offset) => offset));
    }
    await source.stop();
    sink.close();
  },
);

test(
  'finished records behind one in flight are not committed, not even when the source stops',
  LIMIT,
  async ({ pipeline }) => {
    const { sink } = await full(pipeline, 1);
    const source = await pipeline.startSource({ sink: sink.url });
    await until(() => source.counts.delivered === 3 * PER_PARTITION - 1);
    await source.commit();
    const held = await pipeline.lag();
    expect(held).toBeGreaterThan(0n);
    await source.stop();
    expect(await pipeline.lag()).toBe(held);
    sink.close();
  },
);
