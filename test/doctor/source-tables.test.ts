import { expect } from 'vitest';
import { identity, keys, tables } from '../../src/doctor/source/source-tables.ts';
import type { FunctionDefinition, Part } from '../../src/function.ts';
import { test } from '../support/test.ts';
import { applyRemedies, reportOf, sourceOf } from './examination.ts';

function on(part: Partial<Part>, ...others: Part[]): FunctionDefinition {
  const first = { table: 'public.item', key: 'k', ...part };
  const parts = Object.fromEntries([first, ...others].map((each, i) => [`p${i}`, each]));
  return { name: 'shop', parts, handle() {} };
}

test('a table that does not exist, is a view, or is unlogged sends nothing', async ({ db }) => {
  const context = await sourceOf(db, [on({})]);
  expect(await reportOf(tables, context)).toEqual(['✗ there is no table public.item']);
  expect(await reportOf(identity, context)).toEqual(['– there is no table public.item']);
  await db.query('create view item as select 1 as id, 2 as k');
  expect((await reportOf(tables, context))[0]).toBe(
    '✗ public.item is not a table: its changes are not in the log',
  );
  await db.query('drop view item');
  await db.query('create unlogged table item (id int primary key, k int)');
  expect(await reportOf(tables, context)).toEqual([
    '✗ public.item is unlogged: its changes are not in the log',
  ]);
  await applyRemedies(tables, context, db);
  expect(await reportOf(tables, context)).toEqual(['✓ public.item has what its functions use']);
});

test('columns that a part uses must exist', async ({ db }) => {
  await db.query('create table item (id int primary key, k int)');
  const context = await sourceOf(db, [on({ where: { kind: 'a' }, columns: ['weight'] })]);
  expect(await reportOf(tables, context)).toEqual([
    '✗ public.item has no column kind, weight, which part p0 of shop uses',
  ]);
});

test('the id of a part must identify rows', async ({ db }) => {
  await db.query('create table item (id int, line int not null, k int, primary key (id, line))');
  const context = await sourceOf(db, [on({})]);
  await expect(tables.run(context)).resolves.toEqual([
    {
      state: 'problem',
      message: 'id, the id of part p0 of shop, does not identify the rows of public.item',
      remedy: `id: ['id', 'line']   in functions/shop.ts`,
    },
  ]);
  expect(await reportOf(tables, await sourceOf(db, [on({ id: ['line', 'id'] })]))).toEqual([
    '✓ public.item has what its functions use',
  ]);
  await db.query('alter table item drop constraint item_pkey');
  expect(await reportOf(tables, context)).toEqual([
    '✗ public.item has no primary key, and id, the id of part p0 of shop, is not unique',
  ]);
  await applyRemedies(tables, context, db);
  expect(await reportOf(tables, context)).toEqual(['✓ public.item has what its functions use']);
});

test.for([
  ['text[]', {}, "k of public.item is text[], which can't be part of a key"],
  ['int8multirange', {}, 'k of public.item is int8multirange, which arrives as base64 of its text'],
  ['own_range', {}, 'k of public.item is public.own_range, which arrives as base64 of its text'],
  ['own_range', { base64: ['k'] }, null],
  ['own_range_domain', { base64: ['k'] }, null],
  ['int8range', {}, null],
  [
    'text',
    { base64: ['k'] },
    'k of public.item is text and does not arrive as base64, but part p0 of shop lists it there',
  ],
  ['uuid', {}, null],
  ['colour', { where: { k: 'red' } }, null],
  [
    'colour',
    { where: { k: 'pink' } },
    'where k is "pink" in part p0 of shop never matches: public.colour is one of red, green',
  ],
  [
    'int',
    { where: { k: '1' } },
    'where k is "1" in part p0 of shop never matches: integer arrives as a number',
  ],
  [
    'text',
    { where: { k: 1 } },
    'where k is 1 in part p0 of shop never matches: text arrives as text',
  ],
  [
    'boolean',
    { where: { k: 'true' } },
    'where k is "true" in part p0 of shop never matches: boolean is true or false',
  ],
  ['boolean', { where: { k: null } }, null],
] as const)('a column of type %s with %o', async ([type, part, expected], { db }) => {
  await db.query(
    'create type own_range as range (subtype = bigint, multirange_type_name = own_ranges)',
  );
  await db.query('create domain own_range_domain as own_range');
  await db.query(`create type colour as enum ('red', 'green')`);
  await db.query(`create table item (id int primary key, k ${type})`);
  expect(await reportOf(tables, await sourceOf(db, [on(part as Partial<Part>)]))).toEqual([
    expected === null ? '✓ public.item has what its functions use' : `✗ ${expected}`,
  ]);
});

test('keys that arrive in different forms are never equal', async ({ db }) => {
  await db.query('create table item (id int primary key, k bigint, at timestamp, price numeric)');
  await db.query('create table bill (id int primary key, k text, at timestamptz)');
  const both = (column: string) => [on({ key: column }, { table: 'public.bill', key: column })];
  expect(await reportOf(keys, await sourceOf(db, both('k')))).toEqual([
    '✓ those of shop arrive in the same form',
  ]);
  expect(await reportOf(keys, await sourceOf(db, both('price')))).toEqual([
    '– not every key column of shop exists',
  ]);
  expect(await reportOf(keys, await sourceOf(db, both('at')))).toEqual([
    '✗ the keys of shop arrive in different forms and are never equal: public.item.at (microseconds since 1970), public.bill.at (ISO 8601)',
  ]);
  expect(await reportOf(keys, await sourceOf(db, [on({ key: 'price' })]))).toEqual([
    "– price of public.item is numeric, which can't be part of a key",
  ]);
});

const IDENTITIES = ['default', 'nothing', 'full', 'using index item_other'] as const;

test.for([
  [
    'a short key',
    'k text',
    {},
    [
      '✓ public.item: id; k short in 1 row, so full is not needed',
      'nothing',
      '✓ public.item: full',
      'other',
    ],
  ],
  [
    'a key that is never stored out of line',
    'k uuid',
    {},
    ['✓ public.item: id', 'nothing', '✓ public.item: full', 'other'],
  ],
] as const)('%s needs no more than the primary key', async ([, column, part, expected], { db }) => {
  const nothing =
    '✗ public.item has no replica identity: its updates and deletes fail as soon as it is published';
  const other =
    '✗ public.item: a delete contains other but not id, which identifies the row: deleted rows stay in their sets';
  await db.query(`create table item (id int primary key, other int not null, ${column})`);
  await db.query('create unique index item_other on item (other)');
  await db.query('insert into item values (1, 1, $1)', ['8e7b8b44-2d84-4ae6-8f8e-2d3b1a4c5d6e']);
  const context = await sourceOf(db, [on(part)]);
  for (const [i, kind] of IDENTITIES.entries()) {
    await db.query(`alter table item replica identity ${kind}`);
    expect(await reportOf(identity, context)).toEqual([
      expected[i]!.replace(/^nothing$/, nothing).replace(/^other$/, other),
    ]);
    await applyRemedies(identity, context, db);
    expect((await reportOf(identity, context))[0]).toMatch(/^✓/);
  }
});

test('a key that is stored out of line needs the whole old row in the log', async ({ db }) => {
  await db.query('create table item (id int primary key, k text, data text)');
  const context = await sourceOf(db, [on({ columns: ['data'] })]);
  expect(await reportOf(identity, context)).toEqual([
    '– public.item has no rows yet, so it is unknown whether k is stored out of line',
  ]);
  const long = `(select string_agg(md5(i::text), '') from generate_series(1, 200) i)`;
  await db.query(`insert into item values (1, 'short', ${long})`);
  expect(await reportOf(identity, context)).toEqual([
    '✓ public.item: id; k short in 1 row, so full is not needed',
  ]);
  await db.query(`insert into item values (2, ${long}, 'short')`);
  expect(await reportOf(identity, context)).toEqual([
    '✗ public.item: k may be stored out of line, and updates that leave it unchanged do not send it: if Muster does not have the row, they are parked',
  ]);
  await applyRemedies(identity, context, db);
  expect(await reportOf(identity, context)).toEqual(['✓ public.item: full']);
});

test('a table without a primary key has no replica identity', async ({ db }) => {
  await db.query('create table item (id int, k int)');
  const context = await sourceOf(db, [on({})]);
  expect((await reportOf(identity, context))[0]).toMatch(/^✗ public\.item has no replica identity/);
  await applyRemedies(identity, context, db);
  expect(await reportOf(identity, context)).toEqual(['✓ public.item: id']);
});

test('every partition needs its own replica identity', async ({ db }) => {
  await db.query('create table item (id int primary key, k int) partition by hash (id)');
  for (const i of [0, 1]) {
    await db.query(
      `create table item_${i} partition of item for values with (modulus 2, remainder ${i})`,
    );
  }
  const context = await sourceOf(db, [on({})]);
  expect(await reportOf(identity, context)).toEqual(['✓ public.item: id']);
  await db.query('alter table item_1 replica identity nothing');
  expect((await reportOf(identity, context))[0]).toMatch(/^✗ public\.item has no replica identity/);
  await applyRemedies(identity, context, db);
  expect(await reportOf(identity, context)).toEqual(['✓ public.item: id']);
});
