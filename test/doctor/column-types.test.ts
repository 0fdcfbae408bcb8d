import { expect } from 'vitest';
import { keys, tables } from '../../src/doctor/source/source-tables.ts';
import type { FunctionDefinition, Part, Scalar } from '../../src/function.ts';
import { test } from '../support/test.ts';
import { applyRemedies, reportOf, sourceOf } from './examination.ts';

function on(part: Partial<Part>, ...others: Part[]): FunctionDefinition {
  const first = { table: 'public.item', key: 'k', ...part };
  const parts = Object.fromEntries([first, ...others].map((each, i) => [`p${i}`, each]));
  return { name: 'shop', parts, handle() {} };
}

const filtered = (wanted: Scalar) => on({ key: 'id', where: { k: wanted } });

const BASE64 = 'base64, unless decimal.handling.mode of the connector is string';
const PLACES = 'text with all of its decimal places';

test.for<[type: string, wanted: Scalar, arrives: string | null, instead?: Scalar]>([
  ['char(8)', 'A1', 'character(8) arrives padded to 8 characters', 'A1      '],
  ['char(2)', 'DE', null],
  ['padded', 'A1', 'public.padded arrives padded to 8 characters', 'A1      '],
  ['char(2)', 'DEU', 'character(2) holds at most 2 characters'],
  ['varchar(2)', 'DEU', 'character varying(2) holds at most 2 characters'],
  ['text', 1, 'text arrives as text', '1'],
  ['numeric(10,0)', 42, `numeric(10,0) arrives as ${BASE64}`, '42'],
  ['numeric(10,2)', '42', `numeric(10,2) arrives as ${BASE64}`, '42.00'],
  ['numeric', 42, `numeric arrives as ${BASE64}`, '42'],
  ['numeric(10,0)', 'Kg==', null],
  ['money', 42, `money arrives as ${BASE64}`, '42.00'],
  ['date', '2026-05-01', 'date arrives as days since 1970', 20_574],
  ['date', 20_574, null],
  ['date', 20_574.5, 'date arrives as a whole number'],
  ['date', 'never', 'date arrives as days since 1970'],
  ['time', '10:00', 'time without time zone arrives as microseconds of the day', 36_000_000_000],
  ['time(3)', '10:00', 'time(3) without time zone arrives as milliseconds of the day', 36_000_000],
  ['timetz', '10:00', 'time with time zone arrives in UTC, as 08:00:00Z'],
  [
    'timestamp',
    '2026-05-01 10:00',
    'timestamp without time zone arrives as microseconds since 1970',
    1_777_629_600_000_000,
  ],
  [
    'timestamptz',
    '2026-05-01 10:00+02',
    'timestamp with time zone arrives as ISO 8601',
    '2026-05-01T08:00:00.000000Z',
  ],
  ['interval', '1 day', 'interval arrives as microseconds'],
  ['bytea', 'abc!', 'bytea arrives as base64', 'YWJjIQ=='],
  ['bit(3)', '101', 'bit(3) arrives as base64 of its bits', 'BQ=='],
  ['bit', '1', 'bit(1) is true or false', true],
  ['int', 1.5, 'integer arrives as a whole number'],
  ['bigint', '9007199254740993', null],
  ['bigint', '42', 'bigint arrives as a number', 42],
  ['float8', 1.5, null],
  [
    'uuid',
    '8E7B8B44-2D84-4AE6-8F8E-2D3B1A4C5D6E',
    'uuid arrives in its canonical form',
    '8e7b8b44-2d84-4ae6-8f8e-2d3b1a4c5d6e',
  ],
  ['uuid', 'x', '"x" is not a value of uuid'],
  ['inet', '10.0.0.1/32', 'inet arrives in its canonical form', '10.0.0.1'],
  ['jsonb', '{"a":1}', 'jsonb arrives in its canonical form', '{"a": 1}'],
  ['int8range', '[1,4]', 'int8range arrives in its canonical form', '[1,5)'],
  ['colour', 'pink', 'public.colour is one of red, green'],
  ['colour', 'red', null],
  ['colour[]', 'red', 'public.colour[] arrives as an array'],
  ['point', '(1,2)', 'point arrives as an object'],
  ['pg_lsn', '0/1', 'pg_lsn arrives as base64 of its text'],
])('a filter on %s for %o', async ([type, wanted, arrives, instead], { db }) => {
  await db.query(`create type colour as enum ('red', 'green'); create domain padded as char(8)`);
  await db.query(`create table item (id int primary key, k ${type})`);
  const fine = '✓ public.item has what its functions use';
  const context = await sourceOf(db, [filtered(wanted)]);
  expect(await reportOf(tables, context)).toEqual([
    arrives === null
      ? fine
      : `✗ where k is ${JSON.stringify(wanted)} in part p0 of shop never matches: ${arrives}`,
  ]);
  const [finding] = await tables.run(context);
  const advised = /^where: \{ k: (.*) \} {3}in part p0/.exec(finding!.remedy ?? '')?.[1];
  expect(advised).toBe(instead === undefined ? undefined : JSON.stringify(instead));
  const decimals = /numeric|money/.test(type) ? 'string' : 'precise';
  const fixed = await sourceOf(db, [filtered(instead ?? null)], { decimals });
  expect(await reportOf(tables, fixed)).toEqual([fine]);
});

test('a filter on decimals must have the right number of decimal places', async ({ db }) => {
  await db.query('create table item (id int primary key, k numeric(10,2))');
  const where = { k: '42' };
  const as = async (decimals: 'string' | 'double', wanted: Part['where']) =>
    reportOf(tables, await sourceOf(db, [on({ key: 'id', where: wanted! })], { decimals }));
  expect(await as('string', where)).toEqual([
    `✗ where k is "42" in part p0 of shop never matches: numeric(10,2) arrives as ${PLACES}`,
  ]);
  expect((await as('double', where))[0]).toMatch(
    /never matches: numeric\(10,2\) arrives as a number$/,
  );
  expect((await as('double', { k: 42 }))[0]).toMatch(/^✓/);
});

test('a filter on case-insensitive text matches only one case', async ({ db }) => {
  await db.query('create extension citext');
  await db.query('create table item (id int primary key, k citext)');
  expect(
    await reportOf(tables, await sourceOf(db, [on({ key: 'id', where: { k: 'Alpha' } })])),
  ).toEqual([
    '– where k is "Alpha" in part p0 of shop matches only in this case: public.citext ignores case, Muster does not',
  ]);
});

test.for<[one: string, other: string, one_: string, other_: string, isFixed: boolean]>([
  ['char(8)', 'varchar(8)', 'padded to 8 characters', 'plain', true],
  ['char(8)', 'char(9)', 'padded to 8 characters', 'padded to 9 characters', true],
  ['citext', 'text', 'case-sensitive text', 'plain', false],
  ['caseless', 'text', 'case-sensitive text', 'plain', false],
  ['numeric(10,2)', 'bigint', 'base64 of a number with 2 decimal places', 'plain', false],
  [
    'numeric(10,2)',
    'numeric(10,4)',
    'base64 of a number with 2 decimal places',
    'base64 of a number with 4 decimal places',
    false,
  ],
  ['date', 'text', 'days since 1970', 'plain', false],
  ['time(0)', 'time', 'milliseconds of the day', 'microseconds of the day', true],
  ['timestamp(3)', 'timestamp', 'milliseconds since 1970', 'microseconds since 1970', true],
  ['timestamptz(3)', 'timestamptz', 'ISO 8601 to 3 decimal places', 'ISO 8601', true],
  ['bytea', 'text', 'base64', 'plain', false],
  ['bit(3)', 'varbit', 'base64 of its bits', 'base64 of its bits', false],
  ['uuid', 'text', 'plain', 'plain', false],
  ['colour', 'text', 'plain', 'plain', false],
])('keys of types %s and %s', async ([one, other, form, otherForm, isFixed], { db }) => {
  await db.query(
    `create extension citext; create type colour as enum ('red');
     create collation insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
     create domain caseless as text collate insensitive`,
  );
  await db.query(`create table item (id int primary key, k ${one})`);
  await db.query(`create table bill (id int primary key, k ${other})`);
  const context = await sourceOf(db, [on({}, { table: 'public.bill', key: 'k' })]);
  const meet = '✓ those of shop arrive in the same form';
  expect(await reportOf(keys, context)).toEqual([
    form === otherForm
      ? meet
      : `✗ the keys of shop arrive in different forms and are never equal: public.item.k (${form}), public.bill.k (${otherForm})`,
  ]);
  const [finding] = await keys.run(context);
  const isStatement = finding!.remedy?.startsWith('alter table ') ?? false;
  expect(isStatement).toBe(isFixed);
  await applyRemedies(keys, context, db);
  expect((await reportOf(keys, context))[0] === meet).toBe(isFixed || form === otherForm);
});

test('whole decimals meet integers where the connector sends them as text', async ({ db }) => {
  await db.query('create table item (id int primary key, k numeric(10,0))');
  await db.query('create table bill (id int primary key, k bigint)');
  const both = [on({}, { table: 'public.bill', key: 'k' })];
  const [finding] = await keys.run(await sourceOf(db, both));
  expect(finding!.state).toBe('problem');
  expect(finding!.remedy).toMatch(/^decimal\.handling\.mode=string for the connector;/);
  const fixed = await sourceOf(db, both, { decimals: 'string' });
  expect(await reportOf(keys, fixed)).toEqual(['✓ those of shop arrive in the same form']);
});

test.for([
  ['numeric(10,2)', /the keys of shop are base64 unless decimal\.handling\.mode/],
  ['citext', /values that differ in case are equal there, but different keys of shop$/],
  ['numeric', /can't be part of a key$/],
] as const)('a key of type %s is reported', async ([type, expected], { db }) => {
  await db.query('create extension citext');
  await db.query(`create table item (id int primary key, k ${type})`);
  expect(await reportOf(keys, await sourceOf(db, [on({})]))).toEqual([
    expect.stringMatching(expected),
  ]);
});
