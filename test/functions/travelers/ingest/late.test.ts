import { expect } from 'vitest';
import { metrics } from '../../../../functions/travelers/query/metrics.ts';
import { type MetricsQuery } from '../../../../functions/travelers/query/types.ts';
import { TYPES, type Sample } from '../../../../functions/travelers/ingest/sample.ts';
import { late, newest, sensors } from '../../../../functions/travelers/query/state.ts';
import { blocked } from '../../../support/blocked.ts';
import { test, type TestDatabase } from '../../../support/test.ts';
import { ask, expectTruth } from '../compare.ts';
import { OPTIONS, streamOn } from '../stream.ts';

const BASE = Date.UTC(2026, 10, 20, 8, 0, 0) / 1000;
const MINUTE: MetricsQuery = {
  sensors: 'all',
  types: TYPES,
  from: BASE * 1000,
  to: BASE * 1000 + 60_000,
  stepMs: 60_000,
  windowMs: 60_000,
  groupBy: { sensor: false, type: false },
};

/** A sample some seconds after the base. */
function seen(seconds: number, more: Partial<Sample> = {}): Sample {
  const traveler = '00000000-0000-4000-8000-000000000001';
  const at = Math.round((BASE + seconds) * 1e6);
  return { sensor: 1, traveler, type: 'vehicle', at, x: seconds, y: 0, ...more };
}

async function watermark(db: TestDatabase): Promise<number> {
  const rows = await db.query<{ at: string }>('select watermark as at from travelers.progress');
  return Number(rows[0]!.at) / 1e6 - BASE;
}

test('a sample that is older than the newest one before it by more than the bound counts as late, by sensor and minute', async ({
  db,
}) => {
  const stream = await streamOn(db);
  const counted = [seen(0), seen(6), seen(1), seen(1.000001)];
  await stream.give(0, [...counted, seen(0.999999), seen(-60, { sensor: 2 })]);
  await stream.give(0, [seen(0.5)]);
  await stream.finish((BASE + 120) * 1e6);

  expect(await ask(db, (tx) => late(tx, { ...MINUTE, from: MINUTE.from - 60_000 }))).toEqual([
    { sensor: 1, start: BASE * 1000, samples: 2 },
    { sensor: 2, start: (BASE - 60) * 1000, samples: 1 },
  ]);
  expect(await ask(db, (tx) => late(tx, { ...MINUTE, sensors: [2] }))).toEqual([]);
  await expectTruth(db, MINUTE, counted, OPTIONS.visitTimeout);
});

test('the lateness of a sample does not depend on how its partition is split into chunks', async ({
  db,
}) => {
  const stream = await streamOn(db, OPTIONS, 2);
  const samples = [seen(0), seen(6), seen(0.5), seen(12), seen(7), seen(6.9)];
  await stream.give(0, samples);
  for (const sample of samples) await stream.give(1, [{ ...sample, sensor: 2 }]);
  const rows = await ask(db, (tx) => late(tx, MINUTE));
  expect(rows.map((each) => each.samples)).toEqual([2, 2]);
});

test('a window is provisional until lateness and visit timeout have passed, and final from then on', async ({
  db,
}) => {
  const stream = await streamOn(db);
  const isFinal = async () => (await ask(db, (tx) => metrics(tx, MINUTE))).steps[0]!.final;
  await stream.give(0, [seen(0), seen(74.999999)]);
  await stream.settled();
  expect(await isFinal()).toBe(false);
  await stream.give(0, [seen(75)]);
  await stream.settled();
  expect(await isFinal()).toBe(true);
  expect(await ask(db, newest)).toEqual({
    newest: (BASE + 75) * 1000,
    finalTo: (BASE + 60) * 1000,
    version: expect.stringMatching(/^\d+-\d+$/) as string,
  });
});

test('a partition with unread records holds back the watermark, even one without any read record', async ({
  db,
}) => {
  const stream = await streamOn(db, { ...OPTIONS, idleAfter: 1 }, 2);
  await stream.positions.report([{ partition: 1, low: 0, high: 3 }]);
  await stream.give(0, [seen(0), seen(30)]);
  await stream.settled();
  expect(await watermark(db)).toBeLessThan(0);
  await stream.give(1, [seen(2, { sensor: 2 }), seen(3), seen(20, { sensor: 2 })]);
  await stream.settled();
  expect(await watermark(db)).toBe(25);
});

test('an idle partition does not hold back the watermark; one without a reader does', async ({
  db,
}) => {
  const stream = await streamOn(db, { ...OPTIONS, idleAfter: 1 }, 2);
  await stream.give(0, [seen(0), seen(30)]);
  await stream.give(1, [seen(2, { sensor: 2 })]);
  await db.query(
    `update muster.position set reported_at = now() - interval '1 hour' where partition = 1`,
  );
  await stream.settled();
  expect(await watermark(db)).toBe(-3);
  await stream.positions.report([{ partition: 1, low: 0, high: 1 }]);
  await stream.settled();
  expect(await watermark(db)).toBe(25);
});

test('samples of an idle partition from before the watermark are late, and in no window', async ({
  db,
}) => {
  const stream = await streamOn(db, { ...OPTIONS, idleAfter: 1 }, 2);
  await stream.give(0, [seen(0), seen(30)]);
  await stream.settled();
  await stream.give(1, [seen(24.9), seen(25)]);
  const counted = [seen(0), seen(30), seen(25)];
  expect((await ask(db, (tx) => late(tx, MINUTE))).map((each) => each.samples)).toEqual([1]);
  await expectTruth(db, MINUTE, counted, OPTIONS.visitTimeout, seen(30).at + 1);
});

test('with only idle partitions, time advances to the newest of them', async ({ db }) => {
  const stream = await streamOn(db, { ...OPTIONS, idleAfter: 1 }, 3);
  await stream.give(0, [seen(10)]);
  await stream.give(1, [seen(30)]);
  await stream.settled();
  expect(await watermark(db)).toBe(25);
});

test('the watermark waits for a chunk that started before it moved, and no sample of it is lost', async ({
  db,
}) => {
  const stream = await streamOn(db, { ...OPTIONS, idleAfter: 1 }, 2);
  await stream.give(0, [seen(0), seen(30)]);
  // The second partition is idle, and its next chunk is blocked in the middle.
  const holder = await db.pool.connect();
  await holder.query('begin');
  await holder.query('lock table travelers.staged in exclusive mode');
  const chunk = stream.give(1, [seen(1)]);
  await blocked(db);
  const turn = stream.settle();
  await blocked(db, 2);
  await holder.query('commit');
  holder.release();
  await chunk;
  await turn;
  await stream.settled();
  expect(await db.query('select * from travelers.late')).toEqual([]);
  await expectTruth(
    db,
    MINUTE,
    [seen(0), seen(30), seen(1)],
    OPTIONS.visitTimeout,
    seen(30).at + 1,
  );
});

test('sensors are listed with the times of their oldest and newest samples, and their late samples', async ({
  db,
}) => {
  const stream = await streamOn(db);
  await stream.give(0, [seen(4, { sensor: 7 }), seen(3, { sensor: 7 }), seen(0)]);
  await stream.give(0, [seen(30, { sensor: 7 }), seen(20)]);
  await stream.finish((BASE + 60) * 1e6);
  const listed = await ask(db, sensors);
  expect(listed.filter(({ sensor }) => sensor < 100)).toEqual([
    { sensor: 1, firstHeard: BASE * 1000, lastHeard: BASE * 1000, late: 1 },
    { sensor: 7, firstHeard: (BASE + 3) * 1000, lastHeard: (BASE + 30) * 1000, late: 0 },
  ]);
});
