import { expect } from 'vitest';
import type { MetricsQuery } from '../../../functions/travelers/query/types.ts';
import { readSample, TYPES, type Sample } from '../../../functions/travelers/ingest/sample.ts';
import { timestampsIn } from '../../../functions/travelers/ingest/timestamp.ts';
import { Random } from '../../../dev/lib/random.ts';
import { simulate } from '../../../dev/sensors/simulation.ts';
import { seedOf } from '../../support/seeded.ts';
import { test } from '../../support/test.ts';
import { expectTruth } from './compare.ts';
import { OPTIONS, streamOn, type Stream } from './stream.ts';

const PARTITIONS = 5;
const SECONDS = 150;
const FROM = Date.UTC(2026, 10, 20, 8, 0, 0) * 1000;

test('on a street with many travelers, every window equals that of all samples folded at once', async ({
  db,
}) => {
  const seed = seedOf();
  const samples = await street(seed);
  const stream = await streamOn(db, OPTIONS, PARTITIONS);
  await deliver(stream, samples, new Random(seed));
  await stream.finish(FROM + (SECONDS + 60) * 1e6);

  const minutes: MetricsQuery = {
    sensors: 'all',
    types: TYPES,
    from: FROM / 1000,
    to: FROM / 1000 + 180_000,
    stepMs: 60_000,
    windowMs: 60_000,
    groupBy: { sensor: false, type: true },
  };
  const queries: MetricsQuery[] = [
    minutes,
    { ...minutes, stepMs: 20_000, groupBy: { sensor: true, type: true } },
    { ...minutes, stepMs: 1_000, windowMs: 1_000, to: minutes.from + 40_000 },
    {
      ...minutes,
      sensors: [2, 0],
      types: ['pedestrian', 'vehicle'],
      stepMs: 5_000,
      windowMs: 17_000,
    },
  ];
  for (const query of queries) {
    const { steps } = await expectTruth(db, query, samples, OPTIONS.visitTimeout);
    expect(steps.every(({ final }) => final)).toBe(true);
  }
  expect(await db.query('select from travelers.late')).toEqual([]);
  expect(await db.query('select from travelers.staged where newest < $1', [FROM])).toEqual([]);
}, 60_000);

/** Shuffles samples by up to two seconds, and sends a hundredth of them twice. */
async function street(seed: number): Promise<Sample[]> {
  const options = { sensors: 3, arrivals: 3, interval: [0.1, 0.2] as const, seed, from: FROM };
  const post = { shuffle: 2, duplicates: 0.01, late: 0, lateBy: 1 };
  const time = { seconds: SECONDS, speed: Infinity };
  const readTime = timestampsIn('UTC');
  const samples: Sample[] = [];
  for await (const batch of simulate(
    { ...options, ...post, ...time },
    new AbortController().signal,
  )) {
    samples.push(...batch.map(({ value }) => readSample(Buffer.from(value), readTime)));
  }
  return samples;
}

/** Sends samples without keys, to random partitions, in chunks of any size, with some partitions far behind others. */
async function deliver(stream: Stream, samples: readonly Sample[], random: Random): Promise<void> {
  const queues = Array.from({ length: PARTITIONS }, (): Sample[] => []);
  for (const sample of samples) queues[random.between(0, PARTITIONS - 1)]!.push(sample);
  const given = queues.map(() => 0);
  while (queues.some((queue, partition) => given[partition]! < queue.length)) {
    const partition = random.between(0, PARTITIONS - 1);
    const chunk = queues[partition]!.slice(
      given[partition],
      given[partition]! + random.between(1, 1_500),
    );
    if (chunk.length === 0) continue;
    given[partition]! += chunk.length;
    await stream.give(partition, chunk);
    if (random.chance(0.5)) await stream.settle();
  }
}
