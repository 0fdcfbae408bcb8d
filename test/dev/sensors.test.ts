import { expect } from 'vitest';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { readSample, TYPES, type Sample } from '../../functions/travelers/ingest/sample.ts';
import { timestampsIn } from '../../functions/travelers/ingest/timestamp.ts';
import { toFile } from '../../dev/sensors/destination.ts';
import { replay } from '../../dev/sensors/replay.ts';
import { simulate, type SimulationOptions } from '../../dev/sensors/simulation.ts';
import { toProjection } from '../../dev/sensors/to-projection.ts';
import { Oracle } from '../functions/travelers/oracle.ts';
import { seedOf } from '../support/seeded.ts';
import { test } from '../support/test.ts';

const FROM = Date.UTC(2026, 10, 20, 8, 0, 0) * 1000;
const options: SimulationOptions = {
  sensors: 5,
  arrivals: 10,
  interval: [0.1, 0.2],
  seed: 7,
  from: FROM,
  seconds: 60,
  speed: Infinity,
  shuffle: 0,
  duplicates: 0,
  late: 0,
  lateBy: 30,
};
const never = new AbortController().signal;

async function valuesOf(more: Partial<SimulationOptions> = {}): Promise<string[]> {
  const values: string[] = [];
  for await (const batch of simulate({ ...options, ...more }, never)) {
    values.push(...batch.map(({ value }) => value));
  }
  return values;
}

async function samplesOf(more: Partial<SimulationOptions> = {}): Promise<Sample[]> {
  const readTime = timestampsIn('UTC');
  return (await valuesOf(more)).map((value) => readSample(Buffer.from(value), readTime));
}

test('the same seed produces the same records, another seed different ones', async () => {
  const values = await valuesOf();
  expect(await valuesOf()).toEqual(values);
  expect(await valuesOf({ seed: 8 })).not.toEqual(values);
});

test('travelers move as specified: 58 in view of a sensor, speeds below twice the mean, means slightly below it', async () => {
  const samples = await samplesOf({ seed: seedOf() });
  const oracle = new Oracle(samples, 10e6);
  const sensors = [0, 1, 2, 3, 4];
  const [start, end] = [FROM / 1000 + 30_000, FROM / 1000 + 60_000];
  const inView = oracle.window(sensors, TYPES, start, start + 1).present / sensors.length;
  expect(inView).toBeGreaterThan(35);
  expect(inView).toBeLessThan(85);
  for (const [i, mean] of [5, 20, 40].entries()) {
    const { speed } = oracle.window(sensors, [TYPES[i]!], start, end);
    expect(speed!.max).toBeLessThan(2 * mean);
    expect(speed!.min).toBeGreaterThanOrEqual(0);
    expect(speed!.average).toBeGreaterThan(0.9 * mean);
    expect(speed!.average).toBeLessThan(1.05 * mean);
  }
  expect(samples.every(({ x, y }) => x >= 0 && x <= 100 && y >= 0 && y <= 100)).toBe(true);
});

test('shuffled records are late by at most the bound, and none is lost', async () => {
  const samples = await samplesOf({ shuffle: 2 });
  const plain = await samplesOf();
  let newest = 0;
  let most = 0;
  for (const { at } of samples) {
    most = Math.max(most, newest - at);
    newest = Math.max(newest, at);
  }
  expect(most).toBeGreaterThan(1e6);
  expect(most).toBeLessThanOrEqual(2e6);
  expect(new Set(samples.map((each) => JSON.stringify(each)))).toEqual(
    new Set(plain.map((each) => JSON.stringify(each))),
  );
});

test('duplicates and late samples have the requested frequency', async () => {
  const plain = await samplesOf();
  const twice = await samplesOf({ duplicates: 0.1 });
  expect(twice.length / plain.length).toBeGreaterThan(1.08);
  expect(twice.length / plain.length).toBeLessThan(1.12);
  let newest = 0;
  const late = (await samplesOf({ late: 0.05 })).filter(({ at }) => {
    newest = Math.max(newest, at);
    return at < newest - 1e6;
  });
  expect(late.length / plain.length).toBeGreaterThan(0.03);
  expect(late.length / plain.length).toBeLessThan(0.06);
});

test('a file is replayed line by line', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'muster-sensors-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'movements.jsonl');
  const file = toFile(path);
  for await (const batch of simulate({ ...options, seconds: 20 }, never)) await file.send(batch);
  await file.end();
  const values = await valuesOf({ seconds: 20 });
  expect((await readFile(path, 'utf8')).trimEnd().split('\n')).toEqual(values);
  const again = [];
  for await (const batch of replay(path, never)) again.push(...batch);
  expect(again.map(({ value }) => value)).toEqual(values);
  expect(new Set(again.map(({ sensor }) => sensor))).toEqual(new Set([0, 1, 2, 3, 4]));
});

test('without Kafka, every sample is folded or staged, and a second start continues', async ({
  db,
}) => {
  const complaints: string[] = [];
  const complain = (fields: object, message: string) => {
    complaints.push(`${message} ${JSON.stringify(fields)}`);
  };
  const log = { info() {}, warn: complain, error: complain };
  for (const seconds of [10, 20]) {
    const destination = await toProjection(db.url, log);
    const from = FROM + (seconds - 10) * 1e6;
    for await (const batch of simulate({ ...options, from, seconds, seed: seconds }, never)) {
      await destination.send(batch);
    }
    await destination.end();
  }
  const given =
    (await valuesOf({ seconds: 10, seed: 10 })).length +
    (await valuesOf({ seconds: 20, seed: 20, from: FROM + 10e6 })).length;
  const rows = await db.query<{ records: number; parked: number }>(
    `select (select sum(next) from muster.position)::int as records,
            (select count(*) from muster.parked)::int as parked`,
  );
  expect(rows).toEqual([{ records: given, parked: 0 }]);
  expect(complaints).toEqual([]);
});
