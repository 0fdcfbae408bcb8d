import { expect } from 'vitest';
import { metrics } from '../../../../functions/travelers/query/metrics.ts';
import { type MetricsQuery } from '../../../../functions/travelers/query/types.ts';
import type { Sample } from '../../../../functions/travelers/ingest/sample.ts';
import { test, type TestDatabase } from '../../../support/test.ts';
import { ask } from '../compare.ts';
import { streamOn } from '../stream.ts';

const BASE = Date.UTC(2026, 10, 20, 8, 0, 0) / 1000;
const ANN = '00000000-0000-4000-8000-00000000000a';
const BEN = '00000000-0000-4000-8000-00000000000b';

/** A traveler on the x axis, some seconds after the base. */
function at(seconds: number, x: number, more: Partial<Sample> = {}): Sample {
  const time = Math.round((BASE + seconds) * 1e6);
  return { sensor: 1, traveler: ANN, type: 'vehicle', at: time, x, y: 0, ...more };
}

/** Folds everything; returns [present, entered, left, min, average, max] of windows of this length in seconds. */
async function windowsOf(
  db: TestDatabase,
  chunks: readonly (readonly Sample[])[],
  seconds: number,
  count: number,
  more: Partial<MetricsQuery> = {},
) {
  const stream = await streamOn(db);
  for (const chunk of chunks) {
    await stream.give(0, chunk);
    await stream.settled();
  }
  await stream.finish((BASE + seconds * count) * 1e6);
  const query = {
    sensors: [1],
    types: ['pedestrian', 'bicyclist', 'vehicle'] as const,
    from: BASE * 1000,
    to: (BASE + seconds * count) * 1000,
    stepMs: seconds * 1000,
    windowMs: seconds * 1000,
    groupBy: { sensor: false, type: false },
    ...more,
  };
  const { steps } = await ask(db, (tx) => metrics(tx, query));
  return steps.map(({ series }) => {
    const { present, entered, left, speed } = series[0]!;
    return [
      present,
      entered,
      left,
      ...(speed === null ? [null] : [speed.min, speed.average, speed.max]),
    ];
  });
}

test('a traveler is in view from its first sample to its last, and counts in each window in between', async ({
  db,
}) => {
  const chunks = [[at(1, 0), at(11, 10), at(21, 20)]];
  expect(await windowsOf(db, chunks, 10, 4)).toEqual([
    [1, 1, 0, 1, 1, 1],
    [1, 0, 0, 1, 1, 1],
    [1, 0, 1, 1, 1, 1],
    [0, 0, 0, null],
  ]);
});

test('a segment over a border is divided between both windows in proportion to time, and its speed counts in both', async ({
  db,
}) => {
  // 8 ft/s for 2 s, of which 0.5 s in the first window; before that 2 ft/s for 1.5 s
  const chunks = [[at(8, 0), at(9.5, 3)], [at(11.5, 19)]];
  expect(await windowsOf(db, chunks, 10, 2)).toEqual([
    [1, 1, 0, 2, (3 + 4) / 2, 8],
    [1, 0, 1, 8, 8, 8],
  ]);
});

test('windows are half-open: a sample on a border belongs to the window that starts there', async ({
  db,
}) => {
  const chunks = [[at(5, 0), at(10, 10)]];
  expect(await windowsOf(db, chunks, 5, 3)).toEqual([
    [0, 0, 0, null],
    [1, 1, 0, 2, 2, 2],
    [1, 0, 1, null],
  ]);
});

test('a pause that is longer than the timeout starts another visit, and is not a movement', async ({
  db,
}) => {
  const chunks = [
    [at(0, 0), at(10, 10)],
    [at(20.000001, 50), at(21, 50)],
  ];
  expect(await windowsOf(db, chunks, 30, 1)).toEqual([[2, 2, 2, 0, 10 / 10.999999, 1]]);
});

test('a traveler stays in view during a pause within the timeout, even in a window without samples', async ({
  db,
}) => {
  const chunks = [[at(1, 0)], [at(11, 40)]];
  expect(await windowsOf(db, chunks, 3, 4)).toEqual([
    [1, 1, 0, 4, 4, 4],
    [1, 0, 0, 4, 4, 4],
    [1, 0, 0, 4, 4, 4],
    [1, 0, 1, 4, 4, 4],
  ]);
});

test('a single sample is a visit without a speed', async ({ db }) => {
  expect(await windowsOf(db, [[at(3, 3)]], 10, 1)).toEqual([[1, 1, 1, null]]);
});

test('a sample that arrives twice counts once; of two positions the smaller one counts', async ({
  db,
}) => {
  const chunks = [[at(2, 8), at(1, 4), at(0, 0), at(1, 2), at(2, 8), at(1, 4)]];
  expect(await windowsOf(db, chunks, 10, 1)).toEqual([[1, 1, 1, 2, 4, 6]]);
});

test('samples of a chunk beyond the fold are folded once, when time has reached them', async ({
  db,
}) => {
  // the second chunk allows folding up to 5 s, in the middle of the first
  const chunks = [[at(0, 0), at(4, 4), at(8, 8)], [at(10, 10)]];
  expect(await windowsOf(db, chunks, 20, 1)).toEqual([[1, 1, 1, 1, 1, 1]]);
});

test('one id at two sensors, or as two types, is two travelers', async ({ db }) => {
  const chunks = [[at(1, 0), at(2, 5, { sensor: 2 }), at(3, 9, { type: 'pedestrian' })]];
  expect(await windowsOf(db, chunks, 10, 1, { sensors: [1, 2] })).toEqual([[3, 3, 3, null]]);
});

test('percentiles are weighted by time', async ({ db }) => {
  // 9 s at 1 ft/s, and 1 s at 31 ft/s
  const ben = { traveler: BEN };
  const chunks = [[at(0, 0), at(0, 0, ben), at(1, 31, ben), at(9, 9)]];
  await windowsOf(db, chunks, 10, 1);
  const query = {
    sensors: [1],
    types: ['vehicle'] as const,
    from: BASE * 1000,
    to: (BASE + 10) * 1000,
  };
  const times = { stepMs: 10_000, windowMs: 10_000, groupBy: { sensor: false, type: false } };
  const { steps } = await ask(db, (tx) => metrics(tx, { ...query, ...times }));
  const { p50, p85, p95 } = steps[0]!.series[0]!.speed!;
  expect([p50, p85, p95].map(Math.round)).toEqual([1, 1, 31]);
});

test('a window that is longer than its step overlaps the previous one', async ({ db }) => {
  const chunks = [
    [at(1, 0), at(4, 3)],
    [at(17, 0), at(18, 2)],
  ];
  expect(await windowsOf(db, chunks, 5, 4, { windowMs: 10_000 })).toEqual([
    [1, 1, 1, 1, 1, 1],
    [1, 1, 1, 1, 1, 1],
    [0, 0, 0, null],
    [1, 1, 1, 2, 2, 2],
  ]);
});
