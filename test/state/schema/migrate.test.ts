import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { migrate } from '../../../src/state/schema/migrate.ts';
import { migrationsOf } from '../../../src/state/schema/migrations.ts';

/** Muster's own migrations. */
const STATE = readdirSync(new URL('../../../src/state/schema/migrations/', import.meta.url))
  .map((file) => file.replace('.sql', ''))
  .toSorted();

/** An empty database: not even a schema. */
async function emptyDatabase(options = ''): Promise<string> {
  const name = `empty_${randomUUID().replaceAll('-', '')}`;
  const admin = new pg.Client(`${inject('serverUrl')}/postgres`);
  await admin.connect();
  await admin.query(`create database ${name} template template0 ${options}`);
  await admin.end();
  return `${inject('serverUrl')}/${name}`;
}

async function tablesOf(url: string): Promise<string[]> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query<{ name: string }>(
    `select schemaname || '.' || tablename as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema') order by 1`,
  );
  await client.end();
  return rows.map((row) => row.name);
}

test('a database whose encoding lacks characters is refused, with what creates another', async () => {
  const url = await emptyDatabase(`encoding 'LATIN1' locale 'C'`);
  await expect(migrate(url, [])).rejects.toThrow(
    /^the encoding of the database empty_\w+ is LATIN1, which can't store every text: create one with encoding 'UTF8' locale 'C' template template0$/,
  );
  expect(await tablesOf(url)).toEqual([]);
});

test('of twenty concurrent migrations, one does the work, and a later one does nothing', async () => {
  const url = await emptyDatabase();
  const applied = await Promise.all(Array.from({ length: 20 }, () => migrate(url, ['recordings'])));
  expect(applied.filter((names) => names.length > 0)).toEqual([
    [...STATE, 'recordings/001_processed'],
  ]);
  const tables = await tablesOf(url);
  expect(tables).toEqual([
    'muster.barrier',
    'muster.deadline',
    'muster.definition',
    'muster.function',
    'muster.ignored',
    'muster.lease',
    'muster.lost_records',
    'muster.member',
    'muster.migration',
    'muster.migration_recordings',
    'muster.outbox',
    'muster.overdue',
    'muster.parked',
    'muster.part',
    'muster.position',
    'muster.queue',
    'muster.sets',
    'muster.source',
    'muster.truncation',
    'muster.worker',
    'recordings.processed',
  ]);
  expect(await migrate(url, ['recordings'])).toEqual([]);
  expect(await tablesOf(url)).toEqual(tables);
});

test('a function whose migrations are added later applies only these', async () => {
  const url = await emptyDatabase();
  expect(await migrate(url, [])).toEqual(STATE);
  expect(await migrate(url, ['recordings', 'without-migrations'])).toEqual([
    'recordings/001_processed',
  ]);
});

test('a failed migration leaves nothing behind and releases the lock', async () => {
  const url = await emptyDatabase();
  const client = new pg.Client(url);
  await client.connect();
  await client.query('create schema muster; create table muster.outbox ()');
  await expect(migrate(url, [])).rejects.toThrow('relation "outbox" already exists');
  expect(await tablesOf(url)).toEqual(['muster.migration', 'muster.outbox']);
  await client.query('drop table muster.outbox');
  await client.end();
  expect(await migrate(url, [])).toEqual(STATE);
});

/** A folder of migrations of a function `orders`. */
function ordersWith(files: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'muster-orders-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const orders = {
    folder: pathToFileURL(`${folder}/`),
    table: 'migration_orders',
    owner: 'orders',
  };
  return { folder, folders: [...migrationsOf([]), orders] };
}

test('migrations of a function are named after it', async () => {
  const url = await emptyDatabase();
  const { folders } = ordersWith({ '001_shipped.sql': 'create schema orders;' });
  expect(await migrate(url, [], folders)).toEqual([...STATE, 'orders/001_shipped']);
});

test.for<[what: string, sql: string, message: RegExp]>([
  [
    'a syntax error',
    'create schema orders;\ncreate table orders.shipped (\n  id bigint;\n',
    /muster-orders-\w+\/001_shipped\.sql:3: syntax error at or near ";" \(SQLSTATE 42601\)$/,
  ],
  [
    'a missing schema',
    'create table orders.shipped (id bigint);',
    /001_shipped\.sql:1: schema "orders" does not exist \(SQLSTATE 3F000\)$/,
  ],
  [
    'an error without a position',
    'create schema orders; create schema orders;',
    /001_shipped\.sql: schema "orders" already exists \(SQLSTATE 42P06\)$/,
  ],
])('%s in a migration is reported with its file and line', async ([, sql, message]) => {
  const url = await emptyDatabase();
  const { folders } = ordersWith({ '001_shipped.sql': sql });
  await expect(migrate(url, [], folders)).rejects.toThrow(message);
});

test('a migration without a number is refused before any is applied', async () => {
  const url = await emptyDatabase();
  const { folders } = ordersWith({ 'shipped.sql': 'create schema orders;' });
  await expect(migrate(url, [], folders)).rejects.toThrow(
    /shipped\.sql: name it <number>_<what>\.sql, such as 001_tables\.sql/,
  );
  expect(await tablesOf(url)).toEqual([]);
});

test('a migration out of order is reported with the statement that accepts a renamed one', async () => {
  const url = await emptyDatabase();
  const { folder, folders } = ordersWith({ '002_shipped.sql': 'create schema orders;' });
  await migrate(url, [], folders);
  renameSync(join(folder, '002_shipped.sql'), join(folder, '001_shipped.sql'));
  const error = await migrate(url, [], folders).then(
    () => null,
    (reason: Error) => reason,
  );
  expect(error?.message).toMatch(
    /001_shipped\.sql is not applied, but 002_shipped after it is: give a new migration a higher number/,
  );
  const [, statement] = /record that: (update .*)$/.exec(error!.message)!;
  const client = new pg.Client(url);
  await client.connect();
  await client.query(statement!);
  await client.end();
  expect(await migrate(url, [], folders)).toEqual([]);
});
