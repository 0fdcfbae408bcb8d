import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { readOptions } from '../../functions/travelers/options.ts';
import { readSample, TYPES, type Sample } from '../../functions/travelers/ingest/sample.ts';
import { timestampsIn } from '../../functions/travelers/ingest/timestamp.ts';
import { toKafka } from '../../dev/sensors/destination.ts';
import { simulate } from '../../dev/sensors/simulation.ts';
import { expectTruth } from '../functions/travelers/compare.ts';
import { clockRecord } from '../functions/travelers/stream.ts';
import { seedOf } from '../support/seeded.ts';
import type { TestProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { assignedTo, type PullPipeline } from './support/pull-pipeline.ts';
import { test } from './support/test.ts';

const SCRIPT = fileURLToPath(new URL('support/pull-travelers.ts', import.meta.url));
const PARTITIONS = 6;
const { visitTimeout, lateness } = readOptions({});

test(
  'despite kills and rebalances, every window equals that of all samples folded at once',
  { timeout: 180_000 },
  async ({ pull }) => {
    await pull.start(PARTITIONS);
    const serve = () => pull.serve({ MOVEMENTS: pull.topic }, SCRIPT);
    const from = (Math.floor(Date.now() / 60_000) - 5) * 60e6;
    const enough = new AbortController();
    const producing = produce(pull, from, enough.signal);
    const first = await serve();
    await folding(pull, first);
    first.kill('SIGKILL');
    const second = await serve();
    await folding(pull, second);
    const third = await serve();
    await folding(pull, third);
    expect(assignedTo(third)!.length).toBeLessThan(PARTITIONS);
    second.kill('SIGKILL');
    const fourth = await serve();
    await folding(pull, fourth);
    third.kill('SIGTERM');
    expect(await third.exited).toEqual({ code: 0, signal: null });

    enough.abort();
    const given = await producing;
    const newest = given.reduce((most, { at }) => Math.max(most, at), 0);
    const end = Math.ceil(newest / 60e6) * 60e6;
    await pull.send(
      Array.from({ length: PARTITIONS }, (_, partition) => ({
        partition,
        value: JSON.stringify(clockRecord(end + lateness + visitTimeout + 1, partition)),
      })),
    );
    await until(async () => {
      const rows = await pull.db.query<{ to: string }>(
        'select final_to as to from travelers.progress',
      );
      return Number(rows[0]!.to) >= end;
    }, 60_000);

    expect(
      await pull.db.query(
        `select (select sum(next)::int from muster.position) as records, (select count(*)::int from muster.parked) as parked,
                (select count(*)::int from travelers.late) as late`,
      ),
    ).toEqual([{ records: given.length + PARTITIONS, parked: 0, late: 0 }]);
    const query = {
      sensors: 'all' as const,
      types: TYPES,
      from: from / 1000,
      to: end / 1000,
      stepMs: 10_000,
      windowMs: 10_000,
      groupBy: { sensor: false, type: true },
    };
    for (const each of [
      query,
      { ...query, stepMs: 60_000, windowMs: 60_000 },
      { ...query, stepMs: 5_000, windowMs: 15_000, sensors: [0, 2] },
      { ...query, sensors: [1], groupBy: { sensor: true, type: false } },
    ]) {
      const { steps } = await expectTruth(pull.db, each, given, visitTimeout);
      expect(steps.every(({ final }) => final)).toBe(true);
    }
  },
);

/** Runs four sensors at twice the clock's speed, without keys; returns all that was sent. */
async function produce(pull: PullPipeline, from: number, signal: AbortSignal): Promise<Sample[]> {
  const key = 'none' as const;
  const kafka = await toKafka(pull.kafka, { topic: pull.topic, partitions: PARTITIONS, key });
  const readTime = timestampsIn('UTC');
  const given: Sample[] = [];
  const street = { sensors: 4, arrivals: 10, interval: [0.1, 0.2] as const, seed: seedOf() };
  const post = { shuffle: 2, duplicates: 0.02, late: 0, lateBy: 1 };
  const time = { from, seconds: Infinity, speed: 2 };
  for await (const batch of simulate({ ...street, ...post, ...time }, signal)) {
    await kafka.send(batch);
    given.push(...batch.map(({ value }) => readSample(Buffer.from(value), readTime)));
  }
  await kafka.end();
  return given;
}

/** Resolves when the process has been assigned partitions and has applied chunks since. */
async function folding(pull: PullPipeline, process: TestProcess): Promise<void> {
  await until(() => (assignedTo(process)?.length ?? 0) > 0, 30_000);
  const applied = async () => {
    const rows = await pull.db.query<{ next: string }>(
      'select sum(next) as next from muster.position',
    );
    return Number(rows[0]!.next);
  };
  const before = await applied();
  await until(async () => (await applied()) > before, 30_000);
}
