import { expect } from 'vitest';
import { until } from '../support/until.ts';
import { followerOn } from '../support/wal.ts';
import { test } from './support/test.ts';

/** Types, each with values as they would be typed by hand. */
const VALUES: readonly [type: string, ...values: string[]][] = [
  ['int2', '1', '-32768'],
  ['int4', '2147483647', '0'],
  ['int8', '9223372036854775807', '-1'],
  ['oid', '4294967295', '1'],
  ['float4', '1.5', '3.4028235e38'],
  ['float8', '250', '1e-7'],
  ['bool', 'true', 'false'],
  ['numeric', '42.50', '-0.001'],
  ['numeric', '100', '7.00'],
  ['numeric(10,2)', '42', '-12345678.91'],
  ['numeric(20,0)', '12345678901234567890', '-128'],
  ['money', '42', '-1234.56'],
  ['date', '2026-05-01', '1969-12-31'],
  ['time', '10:00', '23:59:59.999999'],
  ['time(3)', '10:00', '23:59:59.999'],
  ['timestamp', '2026-05-01 10:00', '1969-12-31 23:59:59.5'],
  ['timestamp(3)', '2026-05-01 10:00', '2026-05-01 10:00:00.123'],
  ['timestamptz', '2026-05-01 10:00+02', '2026-05-01 10:00:00.5+00'],
  ['char(8)', 'A1', ''],
  ['varchar(8)', 'A1', 'ü'],
  ['text', 'A1', ''],
  ['colour', 'red', 'green'],
  ['uuid', '8E7B8B44-2D84-4AE6-8F8E-2D3B1A4C5D6E', '00000000-0000-0000-0000-000000000000'],
  ['jsonb', '{"a": 1}', '[]'],
  ['json', '{"a":  1}', 'null'],
  ['xml', '<a/>', '<b/>'],
  ['inet', '10.0.0.1/32', '::1'],
  ['macaddr', '08-00-2B-01-02-03', '08-00-2B-01-02-03'],
  ['bytea', 'abc', ''],
  ['bit(1)', '1', '0'],
  ['bit(12)', '100000000001', '000000000000'],
  ['varbit', '101', '1'],
  ['int4range', '[1,4]', 'empty'],
  ['daterange', '[2026-05-01,2026-05-02]', '(,)'],
  ['own_range', '[1,5)', 'empty'],
  ['pg_lsn', '0/1', '1/0'],
  ['text[]', '{a,NULL}', '{}'],
  ['int4[]', '{1,2}', '{}'],
  ['price', '9.99', '-1'],
];

test(
  'columns of every type arrive as from the real connector',
  { timeout: 120_000 },
  async ({ pipeline }) => {
    await pipeline.prepare();
    await pipeline.client.query(`
    create type colour as enum ('red', 'green');
    create type own_range as range (subtype = bigint);
    create domain price as numeric(10,2)`);
    const names = VALUES.map((_, i) => `c${i}`);
    const columns = VALUES.map(([type], i) => `${names[i]} ${type}`);
    await pipeline.client.query(`create table "Every" (id int primary key, ${columns.join(', ')})`);
    const broker = await pipeline.stack.broker();
    const topic = `${pipeline.name}.public.Every`;
    await broker.createTopic(topic, 1);
    await pipeline.addConnector(await pipeline.stack.connect(), {
      'table.include.list': 'public.Every',
      'column.exclude.list': '',
    });
    const follower = followerOn(pipeline.db, 'public.Every', `every_${process.pid}`);
    await follower.reading();
    const rows = [0, 1].map((n) => VALUES.map(([type, ...values]) => of(type, values[n]!)));
    const places = names.map((_, i) => `$${i + 2}`).join(', ');
    for (const [i, row] of [...rows, VALUES.map(() => null)].entries()) {
      await pipeline.client.query(`insert into "Every" values ($1, ${places})`, [i, ...row]);
    }
    await pipeline.client.query('delete from "Every" where id = 0');
    await until(
      async () => (await pipeline.records(topic)).filter(({ value }) => value).length === 4,
      40_000,
    );
    await until(() => follower.changes.length === 4);

    const real = (await pipeline.records(topic)).flatMap(({ value }) => value ?? []);
    for (const [i, value] of real.entries()) {
      const message = Buffer.from(follower.changes[i]!.origin.body).toString();
      expect(imagesOf(message)).toEqual(imagesOf(value));
    }
  },
);

function of(type: string, value: string): unknown {
  return type === 'bytea' ? Buffer.from(value) : value;
}

/** The rows before and after a change, as they are written, a column a line. */
function imagesOf(message: string): string[] {
  const [, images] = /^\{(.*?),"source":/s.exec(message)!;
  return images!.replaceAll(/,("c\d+":)/g, '\n$1').split('\n');
}
