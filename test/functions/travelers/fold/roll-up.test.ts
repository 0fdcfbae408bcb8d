import { expect } from 'vitest';
import { metrics } from '../../../../functions/travelers/query/metrics.ts';
import { type MetricsQuery } from '../../../../functions/travelers/query/types.ts';
import { TYPES, type Sample } from '../../../../functions/travelers/ingest/sample.ts';
import { Random } from '../../../../dev/lib/random.ts';
import { seedOf } from '../../../support/seeded.ts';
import { test, type TestDatabase } from '../../../support/test.ts';
import { ask, expectTruth } from '../compare.ts';
import { OPTIONS, streamOn } from '../stream.ts';

const HOUR = 3_600;
const BASE = Date.UTC(2026, 10, 20, 8, 0, 0) / 1000;
const options = { ...OPTIONS, keepSeconds: 600e6, keepMinutes: 3 * HOUR * 1e6 };

/** Visits of some seconds at three sensors over hours; many of them cross a minute's or an hour's border. */
function visits(random: Random, hours: number): Sample[] {
  const samples: Sample[] = [];
  for (let n = 0; n < hours * 60; n++) {
    const traveler = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
    const [sensor, type] = [random.between(1, 3), TYPES[random.between(0, 2)]!];
    let at = (BASE + random.between(0, hours * 60) * 60) * 1e6 - random.between(0, 5e6);
    for (let seen = random.between(1, 12); seen > 0; seen--) {
      samples.push({ sensor, type, traveler, at, x: random.next() * 100, y: random.next() * 100 });
      at += random.between(1, 3e6);
    }
  }
  return samples.toSorted((a, b) => a.at - b.at);
}

const question = (
  grain: number,
  from: number,
  steps: number,
  more: Partial<MetricsQuery> = {},
) => ({
  sensors: 'all' as const,
  types: TYPES,
  from: (BASE + from) * 1000,
  to: (BASE + from + steps * grain) * 1000,
  stepMs: grain * 1000,
  windowMs: grain * 1000,
  groupBy: { sensor: false, type: true },
  ...more,
});

test('answers for minutes and hours are the same from seconds, from minutes and from hours', async ({
  db,
}) => {
  const samples = visits(new Random(seedOf()), 6);
  const stream = await streamOn(db, options);
  const queries = [
    question(HOUR, -HOUR, 8),
    question(HOUR, -HOUR, 8, { windowMs: 3 * HOUR * 1000, groupBy: { sensor: true, type: false } }),
    question(HOUR, 0, 6, { sensors: [1, 3], types: ['vehicle'] }),
  ];
  const answers: unknown[] = [];
  for (let i = 0; i < samples.length; i += 500) {
    const upTo = samples.slice(0, i + 500);
    await stream.give(0, samples.slice(i, i + 500));
    await stream.settled();
    const now = upTo.at(-1)!.at + 1;
    for (const query of queries) await expectTruth(db, query, upTo, options.visitTimeout, now);
    const recent = Math.floor(now / 60e6) * 60 - BASE;
    const minutes = question(60, recent - 1200, 21, { windowMs: 300_000 });
    await expectTruth(db, minutes, upTo, options.visitTimeout, now);
    answers.push(await ask(db, (tx) => metrics(tx, minutes)));
  }
  await stream.finish((BASE + 7 * HOUR) * 1e6);
  for (const query of queries) {
    const { steps } = await expectTruth(db, query, samples, options.visitTimeout);
    expect(steps.every(({ final }) => final)).toBe(true);
  }
  expect(answers.length).toBeGreaterThan(3);
  // final numbers are unchanged where they are still kept by the minute
  const kept = await kepts(db);
  expect(kept.seconds).toBe(0);
  expect(kept.minutes).toBeGreaterThan(60);
  expect(kept.hours).toBeGreaterThan(6);
});

test('a window that starts or ends where only longer ones are kept is refused, with what is allowed', async ({
  db,
}) => {
  const stream = await streamOn(db, options);
  await stream.give(0, visits(new Random(seedOf()), 6));
  await stream.finish((BASE + 7 * HOUR) * 1e6);
  const refusal = async (query: MetricsQuery) =>
    ask(db, (tx) => metrics(tx, query)).then(
      () => null,
      ({ field, message }: { field: string; message: string }) => ({ field, message }),
    );
  const minutes =
    'must be a whole minute: before 2026-11-20T14:50:00.000Z, numbers are kept by the minute only';
  const hours =
    'must be a whole hour: before 2026-11-20T12:00:00.000Z, numbers are kept by the hour only';
  expect(await refusal(question(30, 6 * HOUR, 10))).toEqual({ field: 'stepMs', message: minutes });
  expect(await refusal(question(60, 6 * HOUR, 10, { windowMs: 90_000 }))).toEqual({
    field: 'windowMs',
    message: minutes,
  });
  expect(await refusal(question(60, 6 * HOUR + 30, 10))).toEqual({
    field: 'from',
    message: minutes,
  });
  expect(await refusal(question(60, 6 * HOUR, 10))).toBeNull();
  expect(await refusal(question(60, 3 * HOUR, 10))).toEqual({ field: 'stepMs', message: hours });
  expect(await refusal(question(HOUR, 3 * HOUR, 3))).toBeNull();
});

test.for([
  [{ from: 1.5 }, 'from', 'must be whole seconds'],
  [{ windowMs: 500 }, 'windowMs', 'must be whole seconds'],
  [{ stepMs: 0 }, 'stepMs', 'must be greater than 0'],
  [{ windowMs: -1000 }, 'windowMs', 'must be greater than 0'],
  [{ types: [] }, 'types', 'must contain at least one type'],
  [{ to: BASE * 1000 + 59_000 }, 'to', 'must be at least one step after from'],
  [{ to: BASE * 2000, stepMs: 1000 }, 'stepMs', 'makes too many windows'],
] as const)('%j is refused', async ([wrong, field, message], { db }) => {
  const query = { ...question(60, 0, 1), ...wrong };
  await expect(ask(db, (tx) => metrics(tx, query))).rejects.toMatchObject({ field, message });
});

async function kepts(db: TestDatabase) {
  const rows = await db.query<{ seconds: number; minutes: number; hours: number }>(
    `select count(*) filter (where seconds = 1 and sensor < 100 and sensor >= 0)::int as seconds,
            count(*) filter (where seconds = 60)::int as minutes,
            count(*) filter (where seconds = 3600)::int as hours
     from travelers.bucket`,
  );
  return rows[0]!;
}
