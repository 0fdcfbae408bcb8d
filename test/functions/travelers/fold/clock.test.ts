import fc from 'fast-check';
import { expect } from 'vitest';
import { Hearing, type Heard } from '../../../../functions/travelers/ingest/heard.ts';
import { readOptions } from '../../../../functions/travelers/options.ts';
import { travelers } from '../../../../functions/travelers/projection.ts';
import type { Sample } from '../../../../functions/travelers/ingest/sample.ts';
import { settle } from '../../../../functions/travelers/fold/settle.ts';
import { clocksAhead, newest, sensors } from '../../../../functions/travelers/query/state.ts';
import { blocked, hold } from '../../../support/blocked.ts';
import { feedOn } from '../../../support/feed.ts';
import { seededRuns } from '../../../support/seeded.ts';
import { test, type TestDatabase } from '../../../support/test.ts';
import { ask } from '../compare.ts';
import { OPTIONS, streamOn, toRecord } from '../stream.ts';

const BASE = Date.UTC(2026, 10, 20, 8, 0, 0) / 1000;
const SECONDS = 120;
const NOTHING: Heard = { newest: 0, sensor: -1, second: 0, doubts: 0 };

/** A sensor's sample at a second of its own clock. */
function seen(sensor: number, second: number, ahead = 0): Sample {
  const traveler = `0193b000-0000-7000-8000-${String(sensor).padStart(12, '0')}`;
  const at = (BASE + second + ahead) * 1e6;
  return { sensor, traveler, type: 'pedestrian', at, x: second % 1000, y: 0 };
}

const idle = (seconds: string) =>
  readOptions({ TRAVELERS_LATENESS_SECONDS: '15', TRAVELERS_IDLE_SECONDS: seconds });

/** Ten sensors with one sample per second each; the clock of the tenth is fast by some seconds. */
const rounds = (ahead: number, count = 10) =>
  Array.from({ length: SECONDS }, (_, second) =>
    Array.from({ length: count }, (__, i) => seen(i + 1, second, i === count - 1 ? ahead : 0)),
  );

async function lateOf(db: TestDatabase): Promise<Record<number, number>> {
  const listed = await ask(db, sensors);
  return Object.fromEntries(listed.map(({ sensor, late }) => [sensor, late]));
}

async function watermark(db: TestDatabase): Promise<number> {
  const rows = await db.query<{ at: string }>('select watermark as at from travelers.progress');
  return Number(rows[0]!.at) / 1e6 - BASE;
}

test('a sensor with a fast clock does not keep others from being counted, and is reported', async ({
  db,
}) => {
  const stream = await streamOn(db);
  for (const round of rounds(20)) await stream.give(0, round);
  await stream.settled();
  expect(await watermark(db)).toBe(SECONDS - 1 - 5);
  expect(await ask(db, newest)).toMatchObject({ newest: (BASE + SECONDS - 1) * 1000 });
  const late = await lateOf(db);
  // The sensor whose sample first contradicts the fast one.
  expect(late[1]).toBe(1);
  for (let sensor = 2; sensor <= 10; sensor++) expect(late[sensor]).toBe(0);
  expect(await ask(db, clocksAhead)).toEqual(new Map([[10, SECONDS - 1]]));
});

test('a fast clock moves the watermark neither while records wait nor beyond now', async ({
  db,
}) => {
  const stream = await streamOn(db, OPTIONS, 2);
  await stream.give(0, [seen(1, 0), seen(2, 0), seen(3, 0, 20)]);
  await stream.give(1, [seen(1, 0), seen(2, 0), seen(3, 0, 20)]);
  await stream.positions.report([
    { partition: 0, low: 0, high: 9 },
    { partition: 1, low: 0, high: 9 },
  ]);
  await stream.settled();
  expect(await watermark(db)).toBe(-5);

  // Read to the end, with a sensor that is ahead of now.
  const now = Math.floor(Date.now() / 1000) - BASE;
  for (const partition of [0, 1]) await stream.give(partition, [seen(3, now, 30)]);
  await stream.settled();
  expect(await watermark(db)).toBeLessThan(now + 25);
});

test('late samples and fast sensors do not depend on how a partition is split into chunks', () => {
  const bounds = { lateness: 5, aheadAtMost: 60 };
  const sample = fc.record({
    sensor: fc.integer({ min: 1, max: 4 }),
    at: fc.integer({ min: 100, max: 200 }),
  });
  fc.assert(
    fc.property(
      fc.array(sample, { maxLength: 60 }),
      fc.integer({ min: 1, max: 9 }),
      (all, size) => {
        const samples = all.map((each) => ({ ...seen(0, 0), ...each }));
        const whole = new Hearing(NOTHING, bounds);
        const expected = samples.map((each) => whole.hear(each));
        let stored = NOTHING;
        const found = [];
        for (let from = 0; from < samples.length; from += size) {
          const hearing = new Hearing(stored, bounds);
          found.push(...samples.slice(from, from + size).map((each) => hearing.hear(each)));
          stored = hearing;
        }
        expect(found).toEqual(expected);
      },
    ),
    seededRuns(500),
  );
});

test('a sensor that is far behind the others contradicts none of them, and is late', () => {
  const hearing = new Hearing(NOTHING, { lateness: 5, aheadAtMost: 60 });
  const late = (sensor: number, at: number) => hearing.hear({ ...seen(sensor, 0), at }).late;
  expect([late(1, 100), late(2, 100), late(3, 90), late(3, 91), late(3, 92)]).toEqual([
    false,
    false,
    true,
    true,
    true,
  ]);
});

test('a sample that is late by any clock does not contradict the newest one', () => {
  const hearing = new Hearing(NOTHING, { lateness: 5, aheadAtMost: 60 });
  const late = (sensor: number, at: number) => hearing.hear({ ...seen(sensor, 0), at }).late;
  expect([late(1, 100), late(2, 100), late(1, 120)]).toEqual([false, false, false]);
  expect([late(3, 90), late(3, 91), late(3, 92)]).toEqual([true, true, true]);
  expect(hearing.reached).toBe(120);
});

test('an idle partition holds back the watermark by the time beyond the lateness since its reader last reported', async ({
  db,
}) => {
  const stream = await streamOn(db, { ...OPTIONS, lateness: 1_000_000, idleAfter: 1 }, 2);
  await stream.give(0, [seen(1, 30)]);
  await stream.give(1, [seen(2, 2)]);
  await db.query(
    `update muster.position set reported_at = now() - interval '2 s' where partition = 1`,
  );
  await stream.settled();
  // 30 less the lateness, less the second that it is overdue
  expect(await watermark(db)).toBeLessThanOrEqual(28);
});

test('a sensor that continues alone advances time', () => {
  const hearing = new Hearing(NOTHING, { lateness: 5, aheadAtMost: 60 });
  const hear = (sensor: number, at: number) => hearing.hear({ ...seen(sensor, 0), at });
  for (const [sensor, at] of [
    [1, 100],
    [2, 100],
    [1, 120],
    [2, 101],
    [2, 102],
  ] as const) {
    hear(sensor, at);
  }
  expect(hearing.reached).toBe(102);
  hear(1, 162);
  expect(hearing.reached).toBe(102);
  hear(1, 163);
  expect(hearing.reached).toBe(163);
});

test('a corrected clock counts again', () => {
  const hearing = new Hearing(NOTHING, { lateness: 5, aheadAtMost: 60 });
  const hear = (sensor: number, at: number) => hearing.hear({ ...seen(sensor, 0), at });
  for (const [sensor, at] of [
    [1, 100],
    [2, 100],
    [1, 120],
    [2, 101],
    [2, 102],
  ] as const) {
    hear(sensor, at);
  }
  expect(hear(1, 103)).toEqual({ late: false, ahead: false });
  expect(hear(2, 118)).toEqual({ late: false, ahead: false });
  expect(hearing.reached).toBe(120);
});

test('a delayed chunk does not make its partition idle, however long it takes', async ({ db }) => {
  const stream = await streamOn(db, { ...OPTIONS, idleAfter: 1 }, 2);
  await stream.give(0, [seen(1, 0), seen(1, 30)]);
  const release = await hold(db, 'lock table travelers.staged in exclusive mode');
  const chunk = stream.give(1, [seen(2, 15)]);
  await blocked(db);
  const turn = stream.settle();
  await blocked(db, 2);
  await release();
  await Promise.all([chunk, turn]);
  expect(await watermark(db)).toBe(10);
  await stream.give(1, [seen(2, 16)]);
  expect((await lateOf(db))[2] ?? 0).toBe(0);
});

test('a forgotten partition no longer holds back the watermark', async ({ db }) => {
  const stream = await streamOn(db, OPTIONS, 2);
  await stream.give(0, [seen(1, 30)]);
  await stream.give(1, [seen(2, 2)]);
  await stream.settled();
  expect(await watermark(db)).toBe(-3);
  await db.query('delete from muster.position where partition = 1');
  await stream.settled();
  expect(await watermark(db)).toBe(25);
  expect(await db.query('select partition from travelers.partition')).toEqual([{ partition: 0 }]);
});

test('a partition that starts while a turn waits holds back the watermark', async ({ db }) => {
  const stream = await streamOn(db, { ...OPTIONS, idleAfter: 1 }, 1);
  await stream.give(0, [seen(1, 30)]);
  const release = await hold(db, 'select pg_advisory_xact_lock_shared(1953653110)');
  const turn = stream.settle();
  await blocked(db);
  await db.query(
    `insert into travelers.partition (topic, partition, newest, reached, heard_at)
     values ('movements', 7, $1, $1, clock_timestamp())`,
    [(BASE + 2) * 1e6],
  );
  await release();
  await turn;
  expect(await watermark(db)).toBe(-3);
});

test('a setting that would make a partition idle after a pause within the lateness is refused', () => {
  expect(() => idle('14.9')).toThrow(
    'TRAVELERS_IDLE_SECONDS must not be less than TRAVELERS_LATENESS_SECONDS',
  );
  expect(idle('15').idleAfter).toBe(15_000_000);
});

test('a fast clock whose sample arrives first makes each other sensor late at most once', async ({
  db,
}) => {
  const feed = await feedOn(db, travelers(readOptions({})), 1);
  for (const round of rounds(20)) await feed.give(0, round.toReversed().map(toRecord));
  await feed.settle();
  await feed.settle();
  const late = await lateOf(db);
  expect(Math.max(...Object.values(late))).toBeLessThanOrEqual(1);
});

test('the watermark never moves backwards, even when a partition starts', async ({ db }) => {
  const stream = await streamOn(db);
  await stream.give(0, [seen(1, 30)]);
  await stream.settled();
  expect(await watermark(db)).toBe(25);
  await stream.positions.begin([{ partition: 1, low: 0, high: 0 }]);
  await stream.settled();
  expect(await watermark(db)).toBe(25);
});

test('overlapping turns fold nothing twice', async ({ db }) => {
  const stream = await streamOn(db);
  await stream.give(0, [seen(1, 0), seen(1, 30)]);
  await stream.settle(); // lets the next turn fold
  const turn = async () => {
    const client = await db.pool.connect();
    await client.query('begin');
    const tx = {
      async query<R extends object>(text: string, values: readonly unknown[] = []) {
        const { rows, rowCount } = await client.query(text, [...values]);
        return { rows: rows as R[], rowCount };
      },
    };
    const context = { positions: [], now: new Date(), log: { info() {}, warn() {}, error() {} } };
    await settle(tx, context, OPTIONS);
    return async () => {
      await client.query('commit');
      client.release();
    };
  };
  const end = await turn();
  const other = turn();
  await blocked(db);
  await end();
  await (
    await other
  )();
  const rows = await db.query(
    'select samples from travelers.bucket where seconds = 1 and sensor = 1',
  );
  expect(rows).toEqual([{ samples: 1 }]);
});
