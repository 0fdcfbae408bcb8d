import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { migrate } from '../../../src/state/schema/migrate.ts';

/** Muster's own migrations. */
const STATE = readdirSync(new URL('../../../src/state/schema/migrations/', import.meta.url))
  .map((file) => file.replace('.sql', ''))
  .toSorted();

/** An empty database: not even a schema. */
async function emptyDatabase(): Promise<string> {
  const name = `empty_${randomUUID().replaceAll('-', '')}`;
  const admin = new pg.Client(`${inject('serverUrl')}/postgres`);
  await admin.connect();
  await admin.query(`create database ${name} template template0`);
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

test('of twenty concurrent migrations, one does the work, and a later one does nothing', async () => {
  const url = await emptyDatabase();
  const applied = await Promise.all(Array.from({ length: 20 }, () => migrate(url, ['recordings'])));
  expect(applied.filter((names) => names.length > 0)).toEqual([[...STATE, '001_processed']]);
  const tables = await tablesOf(url);
  expect(tables).toEqual([
    'muster.barrier',
    'muster.deadline',
    'muster.definition',
    'muster.function',
    'muster.lost_records',
    'muster.member',
    'muster.migration',
    'muster.migration_recordings',
    'muster.outbox',
    'muster.overdue',
    'muster.parked',
    'muster.part',
    'muster.position',
    'muster.run',
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
  expect(await migrate(url, ['recordings', 'without-migrations'])).toEqual(['001_processed']);
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
