import { expect } from 'vitest';
import { change, read } from '../support/changes.ts';
import { pairOf } from '../support/pair.ts';
import { podOn, type Pod } from '../support/pod.ts';
import { test } from '../support/test.ts';

const GIB = 2 ** 30;
const MINUTE = 60_000;
const T = Date.now();

const at = (lsn: number, ms: number) =>
  change('u', lsn, { id: 1, k: 'x', kind: 'a' }, { at: T + ms });
const judge = (pod: Pod, lsn: number, ms: number) => pod.marks.judge(at(lsn, ms)).kind;

test('what a position says of its log', async ({ db }) => {
  const pod = await podOn(db, [pairOf()]);
  const steps: [lsn: number, ms: number, kind: string][] = [
    [5 * GIB, 0, 'fine'],
    // redelivered, replayed: back, and not later
    [1 * GIB, -60 * MINUTE, 'fine'],
    [5 * GIB - 1, 5 * MINUTE, 'fine'],
    // back, and later by more than any transaction is expected to take
    [5 * GIB - 1, 5 * MINUTE + 1, 'restarted'],
    [6 * GIB, 0, 'fine'],
    [7 * GIB + 1, 0, 'ahead'],
    // a GiB per second is what no server writes
    [6 * GIB + 3 * GIB + 1, 1_000, 'ahead'],
    [6 * GIB + 2 * GIB, 1_000, 'fine'],
  ];
  expect(steps.map(([lsn, ms]) => judge(pod, lsn, ms))).toEqual(steps.map(([, , kind]) => kind));
});

test('a transaction that took long in a quiet database is no restart: it knows of the commits it outlived', async ({
  db,
}) => {
  const pod = await podOn(db, [pairOf()]);
  expect(judge(pod, 2 * GIB, 0)).toBe('fine');
  const long = at(GIB, 30 * MINUTE);
  expect(pod.marks.judge({ ...long, lastCommit: BigInt(2 * GIB) }).kind).toBe('fine');
  expect(pod.marks.judge({ ...long, lastCommit: BigInt(2 * GIB) - 1n }).kind).toBe('restarted');
  expect(pod.marks.judge(long).kind).toBe('restarted');
});

test('a snapshot read neither moves nor breaks a mark', async ({ db }) => {
  const pod = await podOn(db, [pairOf()]);
  expect(judge(pod, GIB, 0)).toBe('fine');
  expect(pod.marks.judge(read(0, { id: 1 }, { lsn: 1n, at: T + 60 * MINUTE })).kind).toBe('fine');
  expect(judge(pod, GIB + 1, 1)).toBe('fine');
});

test('an event that jumps is parked with what to do, and the table goes on', async ({ db }) => {
  const pod = await podOn(db, [pairOf()]);
  await pod.filing.file(at(GIB, 0));
  expect(await pod.filing.file(at(10, 6 * MINUTE))).toEqual({
    kind: 'parked',
    reason: 'position-restarted',
    detail: `LSN 10 of source 'test' is below ${GIB}, the newest seen, yet was committed 360 s later: was the source restored or re-created? If so: muster epoch bump test`,
  });
  expect(await pod.filing.file(at(5 * GIB, 0))).toEqual({
    kind: 'parked',
    reason: 'position-ahead',
    detail: `LSN ${5 * GIB} of source 'test' is ${4 * GIB} bytes ahead of ${GIB}, the newest seen, and only 0 s later`,
  });
  expect(await pod.filing.file(at(GIB + 1, 1))).toEqual({ kind: 'filed' });
});

test('marks are shared: a pod that starts knows where the others are, and an epoch bump reaches all', async ({
  db,
}) => {
  const one = await podOn(db, [pairOf()]);
  const two = await podOn(db, [pairOf()]);
  expect(judge(one, 5 * GIB, 0)).toBe('fine');
  await one.marks.exchange();
  await two.marks.exchange();
  expect(judge(two, 10, 6 * MINUTE)).toBe('restarted');
  await db.query(`update muster.source set epoch = epoch + 1, lsn = 0, at = 0`);
  await one.marks.exchange();
  expect(one.marks.judge(at(10, 6 * MINUTE))).toMatchObject({ kind: 'fine', epoch: 1 });
  // a mark of the old epoch is not written over the new one
  expect(judge(two, 6 * GIB, 0)).toBe('fine');
  await two.marks.exchange();
  expect(await db.query('select epoch, lsn from muster.source')).toEqual([{ epoch: 1, lsn: '0' }]);
  await one.marks.exchange();
  expect(await db.query('select epoch, lsn from muster.source')).toEqual([{ epoch: 1, lsn: '10' }]);
});
