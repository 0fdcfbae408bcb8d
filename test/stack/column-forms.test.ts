import { expect } from 'vitest';
import { readTable } from '../../src/doctor/source/catalog.ts';
import { neverEqual } from '../../src/doctor/source/column-filters.ts';
import { formOf } from '../../src/doctor/source/column-forms.ts';
import type { Scalar } from '../../src/function.ts';
import { parse } from '../../src/lib/exact-json.ts';
import { inspectorOf } from '../doctor/examination.ts';
import { until } from '../support/until.ts';
import { test } from './support/test.ts';

/** Types, each with a value as it would be typed by hand. */
const VALUES: readonly [type: string, value: string][] = [
  ['char(8)', 'A1'],
  ['char', 'x'],
  ['bpchar', 'A1'],
  ['"char"', 'x'],
  ['varchar(8)', 'A1'],
  ['text', 'A1'],
  ['name', 'A1'],
  ['citext', 'Alpha'],
  ['colour', 'red'],
  ['numeric', '42.5'],
  ['numeric(10,0)', '42'],
  ['numeric(10,2)', '42'],
  ['money', '42'],
  ['date', '2026-05-01'],
  ['time', '10:00'],
  ['time(3)', '10:00'],
  ['time(4)', '10:00'],
  ['timetz', '10:00+02'],
  ['timestamp', '2026-05-01 10:00'],
  ['timestamp(3)', '2026-05-01 10:00'],
  ['timestamp(0)', '2026-05-01 10:00'],
  ['timestamptz', '2026-05-01 10:00+02'],
  ['timestamptz(3)', '2026-05-01 10:00+02'],
  ['timestamptz(2)', '2026-05-01 10:00+02'],
  ['timestamptz(1)', '2026-05-01 10:00+02'],
  ['timestamptz(0)', '2026-05-01 10:00+02'],
  ['interval', '1 day 2 hours'],
  ['bytea', 'abc'],
  ['bit(1)', '1'],
  ['bit(3)', '101'],
  ['bit(12)', '100000000001'],
  ['varbit', '101'],
  ['varbit(1)', '1'],
  ['bool', 'true'],
  ['int2', '1'],
  ['int8', '1'],
  ['oid', '1'],
  ['float4', '1.5'],
  ['float8', '1.5'],
  ['uuid', '8E7B8B44-2D84-4AE6-8F8E-2D3B1A4C5D6E'],
  ['jsonb', '{"a":1}'],
  ['json', '{"a":1}'],
  ['xml', '<a/>'],
  ['inet', '10.0.0.1/32'],
  ['cidr', '10/8'],
  ['macaddr', '08-00-2B-01-02-03'],
  ['macaddr8', '08-00-2b-01-02-03-04-05'],
  ['ltree', 'a.b'],
  ['int4range', '[1,4]'],
  ['int8range', '(0,4]'],
  ['numrange', '[1, 5)'],
  ['daterange', '[2026-05-01,2026-05-02]'],
  ['tsvector', "'a' 'b'"],
  ['tsquery', "'a'"],
  ['pg_lsn', '0/1'],
  ['xid', '1'],
  ['xid8', '1'],
  ['regclass', 'pg_class'],
  ['int8multirange', '{[1,5)}'],
  ['own_range', '[1,5)'],
  ['pair', '(1,a)'],
  ['text[]', '{a}'],
  ['colour[]', '{red}'],
  ['point', '(1,2)'],
  ['box', '(3,4),(1,2)'],
  ['line', '{1,2,3}'],
  ['lseg', '[(1,2),(3,4)]'],
  ['circle', '<(1,2),3>'],
  ['path', '((1,2),(3,4))'],
  ['polygon', '((1,2),(3,4))'],
];

const DOMAINS = [
  'char(8)',
  'citext',
  'numeric(10,2)',
  'timestamp(3)',
  'bit(3)',
  'colour',
  'own_range',
];

test.for(['precise', 'string', 'double'] as const)(
  'each type, and domains over it, arrive in the form that the doctor reports, with decimals as %s',
  { timeout: 120_000 },
  async (decimals, { pipeline }) => {
    await pipeline.prepare();
    await pipeline.client.query(`
      create extension citext; create extension ltree;
      create type colour as enum ('red', 'green');
      create type own_range as range (subtype = bigint);
      create type pair as (a int, b text)`);
    const columns = VALUES.map(([type, value], i) => ({ name: `c${i}`, type, value }));
    for (const [i, base] of DOMAINS.entries()) {
      await pipeline.client.query(`create domain d${i} as ${base}; create domain dd${i} as d${i}`);
      const value = new Map(VALUES).get(base)!;
      columns.push(
        { name: `d${i}`, type: `d${i}`, value },
        { name: `dd${i}`, type: `dd${i}`, value },
      );
    }
    const list = columns.map(({ name, type }) => `${name} ${type}`);
    await pipeline.client.query(`create table every (id int primary key, ${list.join(', ')})`);
    const broker = await pipeline.stack.broker();
    const topic = `${pipeline.name}.public.every`;
    await broker.createTopic(topic, 1);
    await pipeline.addConnector(await pipeline.stack.connect(), {
      'table.include.list': 'public.every',
      'column.exclude.list': '',
      'decimal.handling.mode': decimals,
    });
    await pipeline.client.query(
      `insert into every values (1, ${columns.map((_, i) => `$${i + 1}`).join(', ')})`,
      columns.map(({ type, value }) => (type === 'bytea' ? Buffer.from(value) : value)),
    );
    await until(async () => (await pipeline.records(topic)).length > 0, 40_000);
    const [record] = await pipeline.records(topic);
    const { after } = parse(record!.value!) as { after: Record<string, Scalar> };

    const inspector = await inspectorOf(pipeline.db);
    const table = (await readTable(inspector, 'public.every'))!;
    const wrong: string[] = [];
    for (const { name, type, value } of columns) {
      const column = table.columns.find((each) => each.name === name)!;
      const form = formOf(column, decimals);
      const got = after[name]!;
      const is = typeof got === 'string' ? 'text' : typeof got;
      const told = JSON.stringify([type, got, form]);
      if (is !== form.json) wrong.push(`${told} is ${is}`);
      if (is === 'object') continue;
      const never = (wanted: Scalar) => neverEqual(inspector, column, wanted, decimals, false);
      const isBase64 = form.name === 'base64 of its text';
      if (!isBase64 && (await never(got)) !== null) wrong.push(`${told} never holds`);
      if (isBase64 ? got !== Buffer.from(value).toString('base64') : false) {
        wrong.push(`${told} is not base64 of ${value}`);
      }
      const other = await never(value);
      if (value !== got && other === null) wrong.push(`${told}: ${value} is said to hold`);
      const isDecimal = form.name.startsWith('base64 of a number');
      if (other?.instead !== undefined && other.instead !== got && !isDecimal) {
        wrong.push(`${told}: ${JSON.stringify(other)}`);
      }
    }
    expect(wrong).toEqual([]);
  },
);
