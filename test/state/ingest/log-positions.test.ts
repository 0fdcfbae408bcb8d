import { expect } from 'vitest';
import type { RowChange } from '../../../src/state/change.ts';
import { bumpEpoch } from '../../../src/state/ingest/epochs.ts';
import { change, read } from '../../support/changes.ts';
import { pairOf } from '../../support/pair.ts';
import { workerOn, type TestWorker } from '../../support/worker.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const GIB = 2 ** 30;
const MINUTE = 60_000;
/** In the past, so that no commit time below is ahead of the clock. */
const T = Date.now() - 24 * 60 * MINUTE;

const at = (lsn: number, ms: number) =>
  change('u', lsn, { id: 1, k: 'x', kind: 'a' }, { at: T + ms });
const check = (worker: TestWorker, lsn: number, ms: number) =>
  worker.positions.check(at(lsn, ms)).kind;
/** A worker on which the source of the changes above is registered. */
async function podOf(db: TestDatabase): Promise<TestWorker> {
  const worker = await workerOn(db, [pairOf()]);
  await worker.positions.register('test');
  return worker;
}
const epochOf = (worker: TestWorker, each: RowChange) => {
  const result = worker.positions.check(each);
  return result.kind === 'fine' ? result.place.epoch : result.kind;
};

test('a position is checked against the newest one of its log', async ({ db }) => {
  const worker = await podOf(db);
  const steps: [lsn: number, ms: number, kind: string][] = [
    [5 * GIB, 0, 'fine'],
    // redelivered or replayed: back, but not later
    [1 * GIB, -60 * MINUTE, 'fine'],
    [5 * GIB - 1, 5 * MINUTE, 'fine'],
    // back, and later by more than any transaction is expected to take
    [5 * GIB - 1, 5 * MINUTE + 1, 'restarted'],
    [6 * GIB, 0, 'fine'],
    [7 * GIB + 1, 0, 'ahead'],
    // no server writes a GiB per second
    [6 * GIB + 3 * GIB + 1, 1_000, 'ahead'],
    [6 * GIB + 2 * GIB, 1_000, 'fine'],
  ];
  expect(steps.map(([lsn, ms]) => check(worker, lsn, ms))).toEqual(steps.map(([, , kind]) => kind));
});

test('a long transaction in a quiet database is not a restart, because it reports the commits before it', async ({
  db,
}) => {
  const worker = await podOf(db);
  expect(check(worker, 2 * GIB, 0)).toBe('fine');
  const long = at(GIB, 30 * MINUTE);
  expect(worker.positions.check({ ...long, lastCommit: BigInt(2 * GIB) }).kind).toBe('fine');
  expect(worker.positions.check({ ...long, lastCommit: BigInt(2 * GIB) - 1n }).kind).toBe(
    'restarted',
  );
  expect(worker.positions.check(long).kind).toBe('restarted');
});

test('an incremental read is not checked, and neither kind of read moves the newest position', async ({
  db,
}) => {
  const worker = await podOf(db);
  expect(check(worker, GIB, 0)).toBe('fine');
  const late = { lsn: 1n, at: T + 60 * MINUTE };
  const incremental = read(0, { id: 1 }, { ...late, snapshot: 'incremental' });
  expect(worker.positions.check(incremental).kind).toBe('fine');
  const ahead = read(0, { id: 1 }, { ...late, lsn: BigInt(900 * GIB) });
  expect(worker.positions.check(ahead).kind).toBe('fine');
  expect(check(worker, GIB + 1, 1)).toBe('fine');
});

test('an initial snapshot that is later but below the newest position belongs to a log that started over', async ({
  db,
}) => {
  const worker = await podOf(db);
  expect(check(worker, GIB, 0)).toBe('fine');
  const initial = read(0, { id: 1 }, { lsn: 10n, at: T + 5 * MINUTE });
  expect(worker.positions.check(initial).kind).toBe('fine');
  expect(worker.positions.check({ ...initial, at: initial.at + 1 }).kind).toBe('restarted');
});

test('one event with a wrong clock does not disable the checks', async ({ db }) => {
  const worker = await podOf(db);
  const now = Date.now();
  const event = (lsn: number, ms: number, handledAt = now) =>
    worker.positions.check({ ...at(lsn, 0), at: now + ms, handledAt });
  expect(event(GIB, 0).kind).toBe('fine');
  const year = 365 * 24 * 60 * MINUTE;
  // a jump that a year of log could explain, and then the log of a source that started over
  expect(event(1000 * GIB, year).kind).toBe('ahead');
  expect(event(GIB + 1, year).kind).toBe('fine');
  expect(event(10, 7 * MINUTE).kind).toBe('fine'); // ahead of the clock, so that its real time is unknown
  expect(worker.positions.check({ ...at(10, 0), at: now + 60_000 })).toMatchObject({
    kind: 'fine',
  });
  expect(event(900 * GIB, 2 * year).kind).toBe('ahead');
});

test('one event with a wrong clock does not make history count as new', async ({ db }) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest({ ...at(GIB, 0), handledAt: 0 });
  expect(worker.positions.check(read(0, { id: 1 }, { lsn: BigInt(GIB - 8), at: T }))).toMatchObject(
    {
      kind: 'fine',
      streaming: false,
    },
  );
});

test('an event that jumps is parked with a remedy, and later events of the table are ingested', async ({
  db,
}) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest(at(GIB, 0));
  expect(await worker.ingestor.ingest(at(10, 6 * MINUTE))).toEqual({
    kind: 'parked',
    reason: 'position-restarted',
    detail: `LSN 10 of source 'test' is below ${GIB}, the newest seen, but was committed 360 s later: was the source restored or recreated? If so, run: muster epoch bump test`,
  });
  expect(await worker.ingestor.ingest(at(5 * GIB, 0))).toEqual({
    kind: 'parked',
    reason: 'position-ahead',
    detail: `LSN ${5 * GIB} of source 'test' is ${4 * GIB} bytes ahead of ${GIB}, the newest seen, and only 0 s later`,
  });
  expect(await worker.ingestor.ingest(at(GIB + 1, 1))).toEqual({ kind: 'ingested' });
});

test('positions are shared: a worker that starts reads those of the others, and an epoch bump reaches every worker', async ({
  db,
}) => {
  const one = await podOf(db);
  const two = await podOf(db);
  expect(check(one, 5 * GIB, 0)).toBe('fine');
  await one.positions.exchange();
  await two.positions.exchange();
  expect(await two.ingestor.ingest(at(10, 6 * MINUTE))).toMatchObject({
    reason: 'position-restarted',
  });
  expect(await bumpEpoch(one.database, 'test')).toEqual({ epoch: 1, beganAt: T + 6 * MINUTE });
  await one.positions.exchange();
  expect(epochOf(one, at(10, 6 * MINUTE))).toBe(1);
  // a position of the old epoch does not overwrite that of the new one
  expect(check(two, 6 * GIB, 0)).toBe('fine');
  const source = 'select epoch, lsn from muster.source';
  await two.positions.exchange();
  expect(await db.query(source)).toEqual([{ epoch: 1, lsn: '0' }]);
  await one.positions.exchange();
  expect(await db.query(source)).toEqual([{ epoch: 1, lsn: '10' }]);
});

test('a change belongs to the epoch in which it was committed, regardless of when it arrives', async ({
  db,
}) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest(at(5 * GIB, 0));
  await worker.ingestor.ingest(at(20, 7 * MINUTE));
  await worker.ingestor.ingest(at(10, 6 * MINUTE));
  await bumpEpoch(worker.database, 'test');
  await worker.positions.exchange();
  expect(epochOf(worker, at(5 * GIB, 0))).toBe(0);
  expect(epochOf(worker, at(10, 6 * MINUTE))).toBe(1);
  expect(epochOf(worker, at(6 * GIB, 6 * MINUTE + 2_000))).toBe('ahead');
  // the old log continued for a while after the newest change that was seen
  expect(epochOf(worker, at(5 * GIB + 1, 5 * MINUTE))).toBe(0);
  expect(worker.positions.check(at(9, 5 * MINUTE))).toMatchObject({
    kind: 'restarted',
    detail: expect.stringMatching(
      /it can.t be determined from which of the two logs it is.*incremental snapshot/,
    ),
  });
  expect(epochOf(worker, read(0, { id: 1 }, { at: T }))).toBe(0);
  expect(epochOf(worker, read(0, { id: 1 }, { at: T + 6 * MINUTE }))).toBe(1);
});

test('a redelivered change of the old epoch is older than those of the new one', async ({ db }) => {
  const worker = await podOf(db);
  const old = { ...at(5 * GIB, 0), row: { id: 1, k: 'old', kind: 'a' } };
  await worker.ingestor.ingest(old);
  const restored = { ...at(10, 6 * MINUTE), row: { id: 1, k: 'new', kind: 'a' } };
  expect(await worker.ingestor.ingest(restored)).toMatchObject({ kind: 'parked' });
  await bumpEpoch(worker.database, 'test');
  await worker.positions.exchange();
  for (const each of [restored, old]) {
    expect(await worker.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
  }
  expect(
    await db.query(
      'select key from muster.member join muster.sets using (function, key_hash) where in_set',
    ),
  ).toEqual([{ key: 'new' }]);
});

test('a change committed before an epoch without changes stays in its own epoch', async ({
  db,
}) => {
  const worker = await podOf(db);
  const create = change('c', 10, { id: 1, k: 'x', kind: 'a' }, { at: T });
  await worker.ingestor.ingest(create);
  await worker.ingestor.ingest(change('d', 20, { id: 1 }, { at: T + 1_000 }));
  await worker.positions.exchange();
  await bumpEpoch(worker.database, 'test', T + MINUTE);
  await bumpEpoch(worker.database, 'test', T + 2 * MINUTE); // an operator bumps it again
  await worker.positions.exchange();
  expect(epochOf(worker, create)).toBe(0);
  await worker.ingestor.ingest(create); // redelivered
  expect(
    await db.query(
      'select key from muster.member join muster.sets using (function, key_hash) where in_set',
    ),
  ).toEqual([]);
  expect(epochOf(worker, at(5, 90_000))).toBe(1);
  expect(epochOf(worker, at(5, 2 * MINUTE))).toBe(2);
});

test('an epoch begins after the newest change seen of the previous one, and its source must be known', async ({
  db,
}) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest(at(GIB, 0));
  await worker.positions.exchange();
  await expect(bumpEpoch(worker.database, 'test', T)).rejects.toThrow(
    `a change of source 'test' that was committed at ${new Date(T).toISOString()} has been ingested`,
  );
  await expect(bumpEpoch(worker.database, 'tset')).rejects.toThrow(
    "no event of the source 'tset' has arrived yet",
  );
  expect(await bumpEpoch(worker.database, 'test', T + 1)).toEqual({ epoch: 1, beganAt: T + 1 });
});

test('a later position with an earlier commit time does not set the newest time back', async ({
  db,
}) => {
  const worker = await podOf(db);
  expect(check(worker, GIB, 0)).toBe('fine');
  expect(check(worker, GIB + 2, -30 * MINUTE)).toBe('fine');
  // five minutes after the second commit, but not after the first
  expect(check(worker, GIB + 1, -20 * MINUTE)).toBe('fine');
  expect(check(worker, GIB + 1, 6 * MINUTE)).toBe('restarted');
});

test('a worker learns of a new epoch from the first change that belongs to it', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  expect(await worker.ingestor.ingest(at(5 * GIB, 0))).toEqual({ kind: 'ingested' });
  await worker.positions.save();
  const other = await workerOn(db, [pairOf()]);
  await bumpEpoch(other.database, 'test', T + MINUTE);
  expect(await worker.ingestor.ingest(at(GIB, 10 * MINUTE))).toEqual({ kind: 'ingested' });
  expect(await db.query('select from muster.parked')).toEqual([]);
});
