import { expect } from 'vitest';
import { change, read } from '../../support/changes.ts';
import { pairOf, partA } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { runsOf, setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

const a = { id: 1, k: 'x', kind: 'a' };
const b = { id: 2, k: 'x', kind: 'b' };
const done = {
  key: 'x',
  revision: 0,
  complete: true,
  state: 'done',
  token: '0',
  attempt: 0,
  late: 0,
};
const running = { ...done, revision: 1, state: 'running', token: '1', attempt: 1 };

test('a set that the initial snapshot completes is done at revision 0, does not run and has no deadline', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf({ overdueAfter: '1 hour' })], { slots: 4 });
  await worker.ingestor.ingest(read(0, a));
  expect(await db.query('select * from muster.deadline')).toEqual([]);
  await worker.ingestor.ingest(read(0, b));
  expect(await runsOf(db)).toEqual([done]);
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 1], fresh: 0 }]);
  expect(worker.leases).toEqual([]);
  expect(await worker.runs.claim(worker.served[0]!.id, worker.id, 10)).toEqual([]);
  expect(await db.query('select * from muster.deadline')).toEqual([]);
});

test('a set that the initial snapshot completed does not run when its rows change later', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf({ overdueAfter: '1 hour' })], { slots: 4 });
  await Promise.all([read(0, a), read(0, b)].map((each) => worker.ingestor.ingest(each)));
  await worker.ingestor.ingest(change('u', 1, a));
  await worker.ingestor.ingest(change('d', 2, { id: 2 }));
  await worker.ingestor.ingest(change('c', 3, { ...b, id: 3 }));
  expect(worker.leases).toEqual([]);
  expect(await runsOf(db)).toEqual([{ ...done, late: 3 }]);
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 1], fresh: 1 }]);
});

test('a streamed part that completes a set of the snapshot runs it', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()], { slots: 4 });
  await worker.ingestor.ingest(read(0, a));
  await worker.ingestor.ingest(change('c', 1, b));
  expect(await runsOf(db)).toEqual([running]);
  expect(worker.leases.length).toBe(1);
});

test('the deadline of an incomplete set of the snapshot begins with the first streamed part', async ({
  db,
}) => {
  const three = pairOf({ overdueAfter: '1 hour' });
  const worker = await workerOn(db, [
    {
      ...three,
      parts: { ...three.parts, c: { table: 'public.item', key: 'k', where: { kind: 'c' } } },
    },
  ]);
  await worker.ingestor.ingest(read(0, a));
  expect(await db.query('select * from muster.deadline')).toEqual([]);
  await worker.ingestor.ingest(change('c', 1, b));
  expect(
    await db.query(
      `select array(select s.key from muster.sets s where s.key_hash = any (keys)) as keys from muster.deadline`,
    ),
  ).toEqual([{ keys: ['x'] }]);
});

test('an incremental snapshot counts as a change, and runs the sets it completes', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 4 });
  for (const row of [a, b]) await worker.ingestor.ingest(read(0, row, { snapshot: 'incremental' }));
  expect(await runsOf(db)).toEqual([running]);
});

test("history 'run' runs the sets that the initial snapshot completes", async ({ db }) => {
  const worker = await workerOn(db, [pairOf({ history: 'run' })], { slots: 4 });
  for (const row of [a, b]) await worker.ingestor.ingest(read(0, row));
  expect(await runsOf(db)).toEqual([running]);
});

test('an initial snapshot taken after the source began to stream is a recovery: the sets it completes run', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 2 });
  const other = await workerOn(db, [pairOf()], { slots: 2 });
  await worker.ingestor.ingest(read(0, { id: 1, k: 'old', kind: 'a' }));
  await worker.ingestor.ingest(read(0, { id: 2, k: 'old', kind: 'b' }));
  await worker.ingestor.ingest(partA('streamed'));
  // the connector lost its position and reads everything again, including rows that were never streamed
  await other.positions.exchange();
  for (const [id, k, kind] of [
    [1, 'old', 'a'],
    [2, 'old', 'b'],
    [3, 'missed', 'a'],
    [4, 'missed', 'b'],
  ] as const) {
    await other.ingestor.ingest(read(60_000, { id, k, kind }));
  }
  expect(await runsOf(db)).toMatchObject([
    { key: 'missed', revision: 1, state: 'running' },
    { key: 'old', revision: 0, state: 'done' },
  ]);
});

test('a change committed during the initial snapshot that arrives first does not make it a recovery', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 2 });
  // committed at 10, streamed when the snapshot had ended at 100; partitions deliver in any order
  const [early] = [partA('early')].map((each) => ({ ...each, at: read(10, {}).at }));
  await worker.ingestor.ingest({ ...early!, handledAt: read(100, {}).at });
  await worker.ingestor.ingest(read(50, { ...a, id: 11 }));
  await worker.ingestor.ingest(read(51, { ...b, id: 12 }));
  expect(await runsOf(db)).toEqual([done]);
  expect(worker.leases).toEqual([]);
});

const x = (fresh: number) => [{ key: 'x', counts: [1, 1], fresh }];

for (const [name, order] of [
  ['after the snapshot', [0, 1, 2]],
  ['between its rows', [0, 2, 1]],
  ['before its row', [2, 0, 1]],
  ['in one batch with its row', null],
] as const) {
  test(`a row that changes in its set stays history, regardless of when the change arrives: ${name}`, async ({
    db,
  }) => {
    const worker = await workerOn(db, [pairOf({ overdueAfter: '1 hour' })], { slots: 4 });
    const all = [
      read(0, a, { lsn: 5n }),
      read(0, b, { lsn: 5n }),
      change('u', 10, { ...a, n: 2 }, { handledAt: read(100, {}).at }),
    ];
    if (order === null) await Promise.all(all.map((each) => worker.ingestor.ingest(each)));
    else for (const i of order) await worker.ingestor.ingest(all[i]!);
    expect(await setsOf(db)).toEqual(x(0));
    expect(await runsOf(db)).toMatchObject([{ key: 'x', revision: 0, state: 'done' }]);
    expect(worker.leases).toEqual([]);
  });
}

test('a row that a change moves into a set is new there, even if the snapshot found it elsewhere', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 4 });
  await worker.ingestor.ingest(read(0, { ...a, k: 'other' }));
  await worker.ingestor.ingest(read(0, b));
  await worker.ingestor.ingest(change('u', 10, a));
  expect(await setsOf(db)).toEqual([{ key: 'other', counts: [0, 0], fresh: 0 }, ...x(1)]);
  expect(await runsOf(db)).toEqual([running]);
});

test('a run that has not started ends as history if the snapshot turns out to contain the whole set', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const late = { handledAt: read(100, {}).at };
  await worker.ingestor.ingest(change('u', 10, a, late));
  await worker.ingestor.ingest(read(0, b, { lsn: 5n }));
  expect(await runsOf(db)).toMatchObject([{ revision: 1, state: 'ready' }]);
  await worker.ingestor.ingest(read(0, a, { lsn: 5n }));
  const { token: _, ...ended } = done;
  expect(await runsOf(db)).toMatchObject([ended]);
  expect(await worker.runs.claim(1, worker.id, 10)).toEqual([]);
  expect(await setsOf(db)).toEqual(x(0));
});

test('the deadline of a set begins with its first new row, not with a changed row of history', async ({
  db,
}) => {
  const three = pairOf({ overdueAfter: '1 hour' });
  const c = { table: 'public.item', key: 'k', where: { kind: 'c' } };
  const worker = await workerOn(db, [{ ...three, parts: { ...three.parts, c } }]);
  await worker.ingestor.ingest(read(0, a));
  await db.query(`update muster.member set since = now() - interval '50 minutes'`);
  await worker.ingestor.ingest(change('u', 10, { ...a, n: 2 }));
  expect(await db.query('select from muster.deadline')).toEqual([]);
  await worker.ingestor.ingest(change('c', 11, b));
  const [row] = await db.query<{ at: Date }>(
    `select min(since) + interval '1 hour' as at from muster.member
     where muster.is_fresh(in_set, key_hash, history)`,
  );
  expect(row!.at.getTime()).toBeGreaterThan(Date.now() + 50 * 60_000);
});

test('a row that the initial snapshot found stays history in a batch with its update', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 4 });
  const known = { ...a, id: 9, k: 'known' };
  for (const each of [read(0, known), change('u', 1, known)]) await worker.ingestor.ingest(each);
  const batches = worker.ingested.length;
  const y = { ...a, id: 2, k: 'y' };
  for (const pair of [
    [read(0, a), change('u', 2, a)],
    [change('u', 3, y), read(0, y)],
  ]) {
    await Promise.all(pair.map((each) => worker.ingestor.ingest(each)));
  }
  expect(worker.ingested.length).toBe(batches + 2);
  expect(await setsOf(db)).toEqual(
    ['known', 'x', 'y'].map((key) => ({ key, counts: [1, 0], fresh: 0 })),
  );
});

test('updates that complete a set before the snapshot reads any of its rows run it, once', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 4 });
  const [first, second] = [change('u', 10, a), change('u', 11, b)];
  for (const each of [first, second]) await worker.ingestor.ingest(each);
  expect(worker.leases).toMatchObject([{ key: 'x', revision: 1, attempt: 1 }]);
  for (const row of [a, b]) await worker.ingestor.ingest(read(0, row, { lsn: 5n }));
  await worker.runs.finish(worker.leases.map((lease) => ({ lease, events: [] })));
  for (const each of [first, second]) await worker.ingestor.ingest(each);
  expect(await runsOf(db)).toMatchObject([{ key: 'x', revision: 1, state: 'done', attempt: 1 }]);
  expect(worker.leases).toHaveLength(1);
});
