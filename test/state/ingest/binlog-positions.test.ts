import { expect } from 'vitest';
import { binlogPosition } from '../../../src/state/binlog-position.ts';
import type { RowChange } from '../../../src/state/change.ts';
import { bumpEpoch } from '../../../src/state/ingest/epochs.ts';
import { change, read } from '../../support/changes.ts';
import { pairOf } from '../../support/pair.ts';
import { test, type TestDatabase } from '../../support/test.ts';
import { workerOn, type TestWorker } from '../../support/worker.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** In the past, so that no commit time below is ahead of the clock. */
const T = Date.now() - 24 * 60 * MINUTE;

/** A change committed `ms` after T, which the connector handled 200 ms later unless `handled` says otherwise. */
const at = (
  file: number,
  offset: number,
  ms: number,
  handled: number | null = ms + 200,
): RowChange =>
  change(
    'u',
    1,
    { id: 1, k: `${file}:${offset}`, kind: 'a' },
    { ...place(file, offset), at: T + ms, handledAt: handled === null ? null : T + handled },
  );
const place = (file: number, offset: number) =>
  ({ lsn: binlogPosition(BigInt(file), BigInt(offset)), log: 'binlog' }) as const;
const check = (worker: TestWorker, ...where: Parameters<typeof at>) =>
  worker.positions.check(at(...where)).kind;

async function podOf(db: TestDatabase): Promise<TestWorker> {
  const worker = await workerOn(db, [pairOf()]);
  await worker.positions.register('test');
  return worker;
}

test('a binlog that starts over is noticed within a second, a redelivery is not one', async ({
  db,
}) => {
  const worker = await podOf(db);
  const steps: [...where: Parameters<typeof at>, kind: string][] = [
    [42, 1_000, 10 * SECOND, 10_200, 'fine'],
    [42, 5_000, 20 * SECOND, 20_200, 'fine'],
    // redelivered, or late from another partition: handled earlier, though its clock is ahead
    [42, 1_000, 10 * SECOND, 10_200, 'fine'],
    [42, 4_000, 21 * SECOND, 20_100, 'fine'],
    // read again after a crash of the connector: handled later, but not committed later
    [42, 1_000, 10 * SECOND, 60_000, 'fine'],
    [42, 5_000, 20 * SECOND, 60_000, 'fine'],
    [1, 400, 61 * SECOND, 61_200, 'restarted'],
    [42, 4_999, 61 * SECOND, 61_200, 'restarted'],
  ];
  expect(
    steps.map(([file, offset, ms, handled]) => check(worker, file, offset, ms, handled)),
  ).toEqual(steps.map((step) => step.at(-1)));
});

test('without the time of handling, five minutes decide', async ({ db }) => {
  const worker = await podOf(db);
  expect(check(worker, 42, 1_000, 0, null)).toBe('fine');
  expect(check(worker, 1, 4, 5 * MINUTE, null)).toBe('fine');
  expect(check(worker, 1, 4, 5 * MINUTE + 1, null)).toBe('restarted');
});

test('an initial snapshot below the newest position is of a binlog that started over', async ({
  db,
}) => {
  const worker = await podOf(db);
  expect(check(worker, 42, 1_000, 10 * SECOND)).toBe('fine');
  const initial = (ms: number) =>
    worker.positions.check(read(0, { id: 1 }, { ...place(1, 400), at: T + ms, handledAt: T + ms }))
      .kind;
  // handled before the stream began, and delivered late
  expect(initial(9 * SECOND)).toBe('fine');
  expect(initial(12 * SECOND)).toBe('restarted');
});

test('a binlog may be 100 files ahead, and 100 more for each second', async ({ db }) => {
  const worker = await podOf(db);
  expect(check(worker, 5, 1_000, 0)).toBe('fine');
  expect(check(worker, 105, 1_000, 0)).toBe('fine');
  expect(check(worker, 205, 1_001, 0)).toBe('ahead');
  expect(check(worker, 305, 1_000, SECOND)).toBe('fine');
  expect(worker.positions.check(at(407, 1_004, SECOND))).toEqual({
    kind: 'ahead',
    detail:
      "binlog position 000407:1004 of source 'test' is 102 files ahead of 000305:1000, the newest seen, and only 0 s later: does the connector read another server? If so, run: muster epoch bump test",
  });
});

test('after a failover, changes are parked with a remedy, which ingests them in the new order', async ({
  db,
}) => {
  const worker = await podOf(db);
  const other = await podOf(db);
  await worker.ingestor.ingest(at(42, 1_000, 0));
  const moved = at(7, 300, 5 * SECOND);
  // a worker that has seen nothing of the source itself
  await worker.positions.exchange();
  await other.positions.exchange();
  expect(await other.ingestor.ingest(moved)).toEqual({
    kind: 'parked',
    reason: 'position-restarted',
    detail:
      "binlog position 000007:300 of source 'test' is below 000042:1000, the newest seen, but was committed 5 s later: did the binlog start over, or does the connector read another server? If so, run: muster epoch bump test",
  });
  expect(await bumpEpoch(worker.database, 'test')).toEqual({ epoch: 1, beganAt: T + 5 * SECOND });
  await Promise.all([worker, other].map((each) => each.positions.exchange()));
  for (const each of [at(7, 500, 6 * SECOND), moved, at(42, 1_000, 0)]) {
    expect(await other.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
  }
  expect(
    await db.query(
      'select key from muster.member join muster.sets using (function, key_hash) where in_set',
    ),
  ).toEqual([{ key: '7:500' }]);
});

test('once a binlog has started over, changes that pass the old positions wait for the epoch, too', async ({
  db,
}) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest(at(42, 4_500, 0));
  await worker.ingestor.ingest(at(42, 5_000, 20 * SECOND));
  const moved = [at(42, 800, 61 * SECOND), at(42, 5_001, 70 * SECOND), at(43, 4, 80 * SECOND)];
  for (const each of moved) {
    expect(await worker.ingestor.ingest(each)).toMatchObject({ reason: 'position-restarted' });
  }
  // a redelivery of the old binlog is none of them
  expect(await worker.ingestor.ingest(at(42, 4_900, 19 * SECOND))).toEqual({ kind: 'ingested' });
  // nor is anything ingested before the epoch has begun
  expect(await worker.ingestor.ingest(moved[0]!)).toMatchObject({ kind: 'parked' });
  expect(await bumpEpoch(worker.database, 'test')).toEqual({ epoch: 1, beganAt: T + 61 * SECOND });
  await worker.positions.exchange();
  for (const each of [moved[1]!, moved[0]!]) {
    expect(await worker.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
  }
  expect(
    await db.query(
      'select key from muster.member join muster.sets using (function, key_hash) where in_set',
    ),
  ).toEqual([{ key: '42:5001' }]);
});

test('after a failover to a server that is files ahead, the remedy is the same', async ({ db }) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest(at(2, 1_000, 0));
  const moved = at(900, 300, 5 * SECOND);
  expect(await worker.ingestor.ingest(moved)).toMatchObject({ reason: 'position-ahead' });
  await worker.positions.exchange();
  await bumpEpoch(worker.database, 'test');
  await worker.positions.exchange();
  for (const each of [moved, at(900, 800, 6 * SECOND)]) {
    expect(await worker.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
  }
  expect(
    await db.query(
      'select key from muster.member join muster.sets using (function, key_hash) where in_set',
    ),
  ).toEqual([{ key: '900:800' }]);
});

test('positions of several workers are merged: the latest commit and handling count', async ({
  db,
}) => {
  const one = await podOf(db);
  const two = await podOf(db);
  expect(check(one, 42, 1_000, 30 * SECOND, 31_000)).toBe('fine');
  // a long transaction: its statement began earlier than that before it in the log
  expect(check(two, 42, 2_000, 10 * SECOND, 32_000)).toBe('fine');
  for (const each of [one, two, one]) await each.positions.exchange();
  // read again by the connector after a crash
  for (const each of [one, two]) expect(check(each, 42, 1_000, 30 * SECOND, 60_000)).toBe('fine');
  expect(await db.query('select handled_at as at from muster.source')).toEqual([
    { at: String(T + 32_000) },
  ]);
});
