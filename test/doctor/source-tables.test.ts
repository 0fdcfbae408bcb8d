import { expect } from 'vitest';
import { identity, keys, tables } from '../../src/doctor/source/source-tables.ts';
import type { FunctionDefinition, Part } from '../../src/function.ts';
import { test } from '../support/test.ts';
import { mend, says, sourceOf } from './examination.ts';

function on(part: Partial<Part>, ...others: Part[]): FunctionDefinition {
  const first = { table: 'public.item', key: 'k', ...part };
  const parts = Object.fromEntries([first, ...others].map((each, i) => [`p${i}`, each]));
  return { name: 'shop', parts, handle() {} };
}

test('a table that is not there, is a view, or is unlogged sends nothing', async ({ db }) => {
  const context = await sourceOf(db, [on({})]);
  expect(await says(tables, context)).toEqual(['✗ there is no table public.item']);
  expect(await says(identity, context)).toEqual(['– there is no table public.item']);
  await db.query('create view item as select 1 as id, 2 as k');
  expect((await says(tables, context))[0]).toBe(
    '✗ public.item is no table: nothing of it is in the log',
  );
  await db.query('drop view item');
  await db.query('create unlogged table item (id int primary key, k int)');
  expect(await says(tables, context)).toEqual([
    '✗ public.item is unlogged: nothing of it is in the log',
  ]);
  await mend(tables, context, db);
  expect(await says(tables, context)).toEqual(['✓ public.item has what its functions name']);
});

test('columns that a part names must be there', async ({ db }) => {
  await db.query('create table item (id int primary key, k int)');
  const context = await sourceOf(db, [on({ where: { kind: 'a' }, columns: ['weight'] })]);
  expect(await says(tables, context)).toEqual([
    '✗ public.item has no column kind, weight, which part p0 of shop names',
  ]);
});

test('the id of a part must tell rows apart', async ({ db }) => {
  await db.query('create table item (id int, line int not null, k int, primary key (id, line))');
  const context = await sourceOf(db, [on({})]);
  await expect(tables.run(context)).resolves.toEqual([
    {
      state: 'problem',
      says: 'id, the id of part p0 of shop, does not tell the rows of public.item apart',
      mend: `id: ['id', 'line']   in functions/shop.ts`,
    },
  ]);
  expect(await says(tables, await sourceOf(db, [on({ id: ['line', 'id'] })]))).toEqual([
    '✓ public.item has what its functions name',
  ]);
  await db.query('alter table item drop constraint item_pkey');
  expect(await says(tables, context)).toEqual([
    '✗ public.item has no primary key, and id, the id of part p0 of shop, is not unique',
  ]);
  await mend(tables, context, db);
  expect(await says(tables, context)).toEqual(['✓ public.item has what its functions name']);
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
    'k of public.item is text and does not arrive as base64, but part p0 of shop says so',
  ],
  ['uuid', {}, null],
  ['colour', { where: { k: 'red' } }, null],
  [
    'colour',
    { where: { k: 'pink' } },
    'where k is "pink" in part p0 of shop never holds: public.colour is one of red, green',
  ],
  [
    'int',
    { where: { k: '1' } },
    'where k is "1" in part p0 of shop never holds: integer arrives as a number',
  ],
  [
    'text',
    { where: { k: 1 } },
    'where k is 1 in part p0 of shop never holds: text arrives as text',
  ],
  [
    'boolean',
    { where: { k: 'true' } },
    'where k is "true" in part p0 of shop never holds: boolean is true or false',
  ],
  ['boolean', { where: { k: null } }, null],
] as const)('a column of type %s with %o', async ([type, part, expected], { db }) => {
  await db.query(
    'create type own_range as range (subtype = bigint, multirange_type_name = own_ranges)',
  );
  await db.query('create domain own_range_domain as own_range');
  await db.query(`create type colour as enum ('red', 'green')`);
  await db.query(`create table item (id int primary key, k ${type})`);
  expect(await says(tables, await sourceOf(db, [on(part as Partial<Part>)]))).toEqual([
    expected === null ? '✓ public.item has what its functions name' : `✗ ${expected}`,
  ]);
});

test('keys that arrive in different forms never meet', async ({ db }) => {
  await db.query('create table item (id int primary key, k bigint, at timestamp, price numeric)');
  await db.query('create table bill (id int primary key, k text, at timestamptz)');
  const both = (column: string) => [on({ key: column }, { table: 'public.bill', key: column })];
  expect(await says(keys, await sourceOf(db, both('k')))).toEqual([
    '✓ those of shop arrive in one form',
  ]);
  expect(await says(keys, await sourceOf(db, both('price')))).toEqual([
    '– not every key column of shop is there',
  ]);
  expect(await says(keys, await sourceOf(db, both('at')))).toEqual([
    '✗ the keys of shop arrive in different forms and never meet: public.item.at (microseconds since 1970), public.bill.at (ISO 8601)',
  ]);
  expect(await says(keys, await sourceOf(db, [on({ key: 'price' })]))).toEqual([
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
    'a key that is never out of line',
    'k uuid',
    {},
    ['✓ public.item: id', 'nothing', '✓ public.item: full', 'other'],
  ],
] as const)('%s needs no more than the primary key', async ([, column, part, expected], { db }) => {
  const nothing =
    '✗ public.item has no replica identity: its updates and deletes fail as soon as it is published';
  const other =
    '✗ public.item: a delete brings other and not id, which tells the row: deleted rows stay in their sets';
  await db.query(`create table item (id int primary key, other int not null, ${column})`);
  await db.query('create unique index item_other on item (other)');
  await db.query('insert into item values (1, 1, $1)', ['8e7b8b44-2d84-4ae6-8f8e-2d3b1a4c5d6e']);
  const context = await sourceOf(db, [on(part)]);
  for (const [i, kind] of IDENTITIES.entries()) {
    await db.query(`alter table item replica identity ${kind}`);
    expect(await says(identity, context)).toEqual([
      expected[i]!.replace(/^nothing$/, nothing).replace(/^other$/, other),
    ]);
    await mend(identity, context, db);
    expect((await says(identity, context))[0]).toMatch(/^✓/);
  }
});

test('a key that is stored out of line needs the whole old row in the log', async ({ db }) => {
  await db.query('create table item (id int primary key, k text, data text)');
  const context = await sourceOf(db, [on({ columns: ['data'] })]);
  expect(await says(identity, context)).toEqual([
    '– public.item has no row yet: are values of k ever stored out of line?',
  ]);
  const long = `(select string_agg(md5(i::text), '') from generate_series(1, 200) i)`;
  await db.query(`insert into item values (1, 'short', ${long})`);
  expect(await says(identity, context)).toEqual([
    '✓ public.item: id; k short in 1 row, so full is not needed',
  ]);
  await db.query(`insert into item values (2, ${long}, 'short')`);
  expect(await says(identity, context)).toEqual([
    '✗ public.item: k may be stored out of line, and updates that leave it unchanged do not send it: where nothing is known of the row they are parked',
  ]);
  await mend(identity, context, db);
  expect(await says(identity, context)).toEqual(['✓ public.item: full']);
});

test('a table without a primary key has no identity', async ({ db }) => {
  await db.query('create table item (id int, k int)');
  const context = await sourceOf(db, [on({})]);
  expect((await says(identity, context))[0]).toMatch(/^✗ public\.item has no replica identity/);
  await mend(identity, context, db);
  expect(await says(identity, context)).toEqual(['✓ public.item: id']);
});

test('every partition needs its identity', async ({ db }) => {
  await db.query('create table item (id int primary key, k int) partition by hash (id)');
  for (const i of [0, 1]) {
    await db.query(
      `create table item_${i} partition of item for values with (modulus 2, remainder ${i})`,
    );
  }
  const context = await sourceOf(db, [on({})]);
  expect(await says(identity, context)).toEqual(['✓ public.item: id']);
  await db.query('alter table item_1 replica identity nothing');
  expect((await says(identity, context))[0]).toMatch(/^✗ public\.item has no replica identity/);
  await mend(identity, context, db);
  expect(await says(identity, context)).toEqual(['✓ public.item: id']);
});
