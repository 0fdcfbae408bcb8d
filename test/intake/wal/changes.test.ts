import { expect } from 'vitest';
import { defineFunction } from '../../../src/function.ts';
import { pairOf } from '../../support/pair.ts';
import { setsOf } from '../../support/state.ts';
import { test, type TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import { caughtUp, readerOn } from '../../support/wal.ts';

const ITEM = 'create table item (id int primary key, k text, kind text, note text)';

const done = (db: TestDatabase) =>
  db.query<{ key: string }>(`select key from muster.run where state = 'done' order by key`);
const members = (db: TestDatabase) =>
  db.query<{ id: string; key: string | null }>(
    `select m.id, s.key from muster.member m left join muster.sets s using (function, key_hash)
     where m.in_set order by m.id`,
  );

/** Collects the note of the first row of each set. */
const pairWithNote = (notes: unknown[]) =>
  defineFunction({
    name: 'pair',
    parts: {
      a: { table: 'public.item', key: 'k', where: { kind: 'a' }, columns: ['note'] },
      b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
    },
    handle({ parts }) {
      notes.push(parts.a[0]!.row['note']);
    },
  });

test('a set completes from inserts, and its handler runs', async ({ db }) => {
  await db.query(ITEM);
  const seen: unknown[] = [];
  const pair = pairWithNote(seen);
  const reader = await readerOn(db, [pair]);
  await reader.reading();
  await db.query(`insert into item values (1, 'x', 'a', 'first'), (2, 'x', 'b', null)`);
  await until(() => seen.length === 1);
  expect(seen).toEqual(['first']);
  await until(async () => (await done(db)).length === 1);
  await caughtUp(db, reader.slot);
  expect((await reader.metrics.walChanges.get()).values).toContainEqual(
    expect.objectContaining({ labels: { kind: 'change' }, value: 2 }),
  );
});

test('updates, deletes, new primary keys and truncates move rows between sets', async ({ db }) => {
  await db.query(ITEM);
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  await db.query(`insert into item values (1, 'x', 'a'), (2, 'y', 'a'), (3, 'z', 'a')`);
  await db.query(`update item set k = 'y' where id = 1`);
  await db.query('delete from item where id = 2');
  await db.query('update item set id = 33 where id = 3');
  await caughtUp(db, reader.slot);
  expect(await members(db)).toEqual([
    { id: '1', key: 'y' },
    { id: '33', key: 'z' },
  ]);
  await db.query('truncate item');
  await caughtUp(db, reader.slot);
  expect(await members(db)).toEqual([]);
  expect((await setsOf(db)).every(({ counts }) => counts.every((n) => n === 0))).toBe(true);
});

test('a value that was not sent, because it is large and unchanged, is kept', async ({ db }) => {
  await db.query(ITEM);
  await db.query('alter table item alter column note set storage external');
  const notes: unknown[] = [];
  const pair = pairWithNote(notes);
  const reader = await readerOn(db, [pair]);
  await reader.reading();
  const note = 'large '.repeat(2_000);
  await db.query(`insert into item values (1, 'x', 'a', $1)`, [note]);
  await db.query(`update item set k = 'y' where id = 1`);
  await db.query(`insert into item values (2, 'y', 'b')`);
  await until(() => notes.length === 1);
  expect(notes).toEqual([note]);
});

test('a key that is large and unchanged is known from the key that was sent', async ({ db }) => {
  await db.query(
    `create table item (id text, k text, kind text, note text, primary key (id));
     alter table item alter column id set storage external; alter table item alter column note set storage external;
     alter table item set (toast_tuple_target = 128)`,
  );
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  const id = 'i'.repeat(900);
  // only a row that is too long for its page has values out of line, the longest first
  await db.query(`insert into item values ($1, 'x', 'a', repeat('n', 3000))`, [id]);
  await db.query(`update item set k = 'y'`);
  await caughtUp(db, reader.slot);
  expect(await members(db)).toEqual([{ id, key: 'y' }]);
});

test('rows of before are read once; sets that they complete are history', async ({ db }) => {
  await db.query(ITEM);
  await db.query(`insert into item values (1, 'x', 'a'), (2, 'x', 'b'), (3, 'y', 'a')`);
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  expect(await db.query(`select key, revision from muster.run`)).toEqual([
    { key: 'x', revision: 0 },
  ]);
  await db.query(`insert into item values (4, 'y', 'b')`);
  await until(async () => (await done(db)).some(({ key }) => key === 'y'));
  await reader.stop();

  await db.query(`insert into item values (5, 'z', 'a')`);
  const again = await readerOn(db, [pairOf()], { slot: reader.slot });
  await again.reading();
  await db.query(`insert into item values (6, 'z', 'b')`);
  await until(async () => (await done(db)).some(({ key }) => key === 'z'));
  expect(again.lines.filter(({ message }) => message === 'reading the rows of tables')).toEqual([]);
});

test('the position of a quiet table advances with the log of the others', async ({ db }) => {
  await db.query(ITEM);
  await db.query('create table other (id int)');
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  await db.query('insert into other select generate_series(1, 1000)');
  await caughtUp(db, reader.slot);
});

test('a partitioned table is one table', async ({ db }) => {
  await db.query(
    `create table item (id int, k text, kind text, primary key (id)) partition by range (id);
     create table item_low partition of item for values from (0) to (100);
     create table item_high partition of item for values from (100) to (200);
     insert into item values (1, 'x', 'a')`,
  );
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  await db.query(`insert into item values (101, 'x', 'b')`);
  await until(async () => (await done(db)).length === 1);
});
