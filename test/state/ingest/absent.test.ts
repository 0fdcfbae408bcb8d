import { expect } from 'vitest';
import { UNAVAILABLE, type Row } from '../../../src/state/change.ts';
import { defineFunction } from '../../../src/function.ts';
import { partsOf } from '../../../src/definitions/registered-function.ts';
import { loadMembers } from '../../../src/state/runs/load-members.ts';
import { change, read } from '../../support/changes.ts';
import { pairOf } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { miscounted, runsOf, setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

const lab = defineFunction({
  name: 'lab',
  parts: {
    blood: { table: 'public.item', key: 'patient', where: { kind: 'blood', voided: null } },
    swab: { table: 'public.item', key: 'patient', where: { kind: 'swab', voided: null } },
    report: { table: 'public.item', key: 'patient', where: { kind: 'report' }, columns: ['text'] },
  },
  handle() {},
});
const blood: Row = { id: 1, patient: 'P', kind: 'blood', voided: null, text: null };
const without = (column: string): Row =>
  Object.fromEntries(Object.entries(blood).filter(([name]) => name !== column));

for (const column of ['patient', 'kind', 'voided', 'text']) {
  for (const op of ['c', 'u', 'r'] as const) {
    test(`a message of op ${op} without the column ${column} is parked for the parts that use it, and adds no row to them`, async ({
      db,
    }) => {
      const worker = await workerOn(db, [lab]);
      await worker.ingestor.ingest(change('c', 1, blood));
      const row = without(column);
      const sent = op === 'r' ? read(100_000, row) : change(op, 2, row);
      const outcome = await worker.ingestor.ingest(sent);
      expect(outcome).toMatchObject({ kind: 'parked', reason: 'incomplete-change' });
      const part = column === 'text' ? 'report' : 'blood';
      expect(outcome).toHaveProperty(
        'detail',
        expect.stringContaining(
          `column ${column} of public.item is not in the message; part ${part} of lab names it`,
        ),
      );
      expect((await setsOf(db, 1)).map(({ key, counts }) => [key, counts])).toEqual([['P', [1]]]);
    });
  }
}

test('a delete only needs the columns of the primary key', async ({ db }) => {
  const worker = await workerOn(db, [lab]);
  await worker.ingestor.ingest(change('c', 1, blood));
  expect(await worker.ingestor.ingest(change('d', 2, { id: 1 }))).toEqual({ kind: 'ingested' });
  expect(await db.query('select from muster.member where in_set')).toEqual([]);
  expect(await worker.ingestor.ingest(change('d', 3, { patient: 'P' }))).toMatchObject({
    kind: 'parked',
    reason: 'bad-key',
    detail: "primary key column 'id' is absent",
  });
});

test('a part that does not use the column ingests the change that is parked for others', async ({
  db,
}) => {
  const other = pairOf({ parts: { all: { table: 'public.item', key: 'patient' } } });
  const worker = await workerOn(db, [lab, other]);
  expect(await worker.ingestor.ingest(change('c', 1, without('kind')))).toMatchObject({
    kind: 'parked',
  });
  expect(await runsOf(db)).toMatchObject([{ key: 'P', complete: true }]);
});

test('a change that is redelivered after the definition was corrected is ingested', async ({
  db,
}) => {
  const before = await workerOn(db, [pairOf({ parts: { a: part('sort') } })]);
  const sent = change('c', 1, { id: 1, k: 'x', kind: 'a' });
  expect(await before.ingestor.ingest(sent)).toMatchObject({ kind: 'parked' });
  const after = await workerOn(db, [pairOf({ parts: { a: part('kind') } })]);
  expect(await after.ingestor.ingest(sent)).toEqual({ kind: 'ingested' });
  expect(await runsOf(db)).toMatchObject([{ key: 'x', complete: true }]);
});

const part = (column: string) => ({ table: 'public.item', key: 'k', where: { [column]: 'a' } });

test("a row whose new key can't be stored is parked, and leaves its old set", async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  const long = change('u', 2, { id: 1, k: 'y'.repeat(2_000), kind: 'a' });
  expect(await worker.ingestor.ingest(long)).toMatchObject({ kind: 'parked', reason: 'bad-key' });
  await worker.ingestor.ingest(change('c', 3, { id: 2, k: 'x', kind: 'b' }));
  expect(await runsOf(db)).toEqual([]);
  expect(await miscounted(db)).toEqual([]);
  // and enters another one with its next change
  await worker.ingestor.ingest(change('u', 4, { id: 1, k: 'x', kind: 'a' }));
  expect(await runsOf(db)).toMatchObject([{ key: 'x', complete: true }]);
});

test('a row whose new values PostgreSQL refuses is parked, and leaves its old set', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  const refused = change('u', 2, { id: 1, k: 'y\0', kind: 'a' });
  expect(await worker.ingestor.ingest(refused)).toMatchObject({
    kind: 'parked',
    reason: 'bad-value',
  });
  expect(await db.query('select from muster.member where in_set')).toEqual([]);
  expect(await miscounted(db)).toEqual([]);
});

test('so does one that also lacks a deciding column', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  const refused = change('u', 2, { id: 1, k: 'y\0', kind: UNAVAILABLE });
  expect(await worker.ingestor.ingest(refused)).toMatchObject({
    kind: 'parked',
    reason: 'bad-value',
  });
  expect(await db.query('select from muster.member where in_set')).toEqual([]);
  expect(await miscounted(db)).toEqual([]);
  await worker.ingestor.ingest(change('u', 3, { id: 1, k: 'x', kind: 'a' }));
  expect(await db.query('select from muster.member where in_set')).toHaveLength(1);
});

test('a row whose id was not sent is parked, and blocks nothing', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  for (const op of ['c', 'u', 'd'] as const) {
    const outcome = await worker.ingestor.ingest(
      change(op, 1, { id: UNAVAILABLE, k: 'x', kind: 'a' }),
    );
    expect(outcome).toEqual({
      kind: 'parked',
      reason: 'bad-key',
      detail: "primary key column 'id' was not sent",
    });
  }
});

test('a row with a null in its key is in no set, whatever else the key has', async ({ db }) => {
  const parts = { a: { table: 'public.item', key: ['j', 'k'] } } as const;
  const worker = await workerOn(db, [pairOf({ parts })]);
  const odd = change('c', 1, { id: 1, j: ['no', 'scalar'], k: null });
  expect(await worker.ingestor.ingest(odd)).toEqual({ kind: 'ingested' });
  expect(await db.query('select in_set from muster.member')).toEqual([{ in_set: false }]);
});

test('a row that no part accepts is not parked because of its key', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  for (const op of ['c', 'u'] as const) {
    const unwanted = change(op, 1, { id: op, k: 'y'.repeat(2_000), kind: 'c' });
    expect(await worker.ingestor.ingest(unwanted)).toEqual({ kind: 'ingested' });
  }
});

test('a handler sees which columns no change has carried', async ({ db }) => {
  const kept = { table: 'public.item', key: 'k', columns: ['note'] };
  const worker = await workerOn(db, [pairOf({ parts: { a: kept } })], { slots: 2 });
  // a change of the primary key, with an unchanged value that is stored out of line
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', note: 'long' }));
  await worker.ingestor.ingest(change('d', 2, { id: 1 }));
  await worker.ingestor.ingest(change('c', 2, { id: 2, k: 'y', note: UNAVAILABLE }));
  const load = () => loadMembers(worker.database, partsOf(worker.served), worker.leases, 1e6);
  const unavailable = (await load()).map((set) => set!.members.map((each) => each.unavailable));
  expect(worker.leases.map(({ key }, i) => [key, unavailable[i]])).toEqual([
    ['x', []],
    ['y', [['note']]],
  ]);
  await worker.ingestor.ingest(change('u', 3, { id: 2, k: 'y', note: 'long' }));
  expect((await load())[1]!.members).toMatchObject([
    { columns: { note: 'long' }, unavailable: [] },
  ]);
});
