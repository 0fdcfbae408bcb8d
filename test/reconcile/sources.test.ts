/** Which rows of which source are compared, and that nothing is left behind there. */
import pg from 'pg';
import { expect } from 'vitest';
import { defineFunction } from '../../src/function.ts';
import { change } from '../support/changes.ts';
import { pairOf } from '../support/pair.ts';
import { pgbouncer, test as pooledTest } from '../support/pgbouncer.ts';
import { setsOf } from '../support/state.ts';
import { test } from '../support/test.ts';
import { workerOn } from '../support/worker.ts';
import { itemsOf, past, reconciled } from './reconciled.ts';

const repairs = { repairs: true };

test('a part whose rows come from another connector is not compared', async ({ db }) => {
  await itemsOf(db, `(1, 'x', 'a', '')`);
  await db.query('create table other (id int primary key, k text)');
  await db.query(`insert into other values (1, 'x')`);
  const both = defineFunction({
    name: 'both',
    parts: {
      a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
      b: { table: 'public.other', key: 'k' },
      c: { table: 'public.other', key: 'k', where: { id: 2 } },
    },
    handle() {},
  });
  const worker = await workerOn(db, [both]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }, { source: 'north' }));
  const more = { source: 'south', stream: 'public.other' };
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x' }, more));
  await db.query(`delete from muster.member where part_index = 3`);
  expect(await reconciled(db, worker, { ...repairs, connector: 'north' })).toMatchObject({
    compared: { a: 1 },
    notCompared: {
      b: 'its rows come from south',
      c: 'none of its rows has arrived, so they may be those of another connector than north: if they are not, --force compares them',
    },
    differences: [],
  });
});

test('rows that are named by values in another form than that of SQL are not compared', async ({
  db,
}) => {
  for (const type of ['bytea', 'numeric', 'date', 'timestamp', 'int[]', 'float8']) {
    await db.query(`drop table if exists item; create table item (id ${type} primary key, k text)`);
    await db.query('create publication own for table item');
    const odd = defineFunction({
      name: 'odd',
      parts: { a: { table: 'public.item', key: 'k' } },
      handle() {},
    });
    const worker = await workerOn(db, [odd]);
    await worker.ingestor.ingest(past('c', 1, { id: 'AQ==', k: 'x' }, { source: 'wal:own' }));
    const found = await reconciled(db, worker, repairs);
    expect(found.notCompared['a']).toMatch(/^its rows are named by column id of type/);
    await db.query('drop publication own');
  }
});

test('the own reader has a publication in its source, and its row filters are respected', async ({
  db,
}) => {
  await itemsOf(db, `(1, 'x', 'a', ''), (2, 'x', 'b', '')`);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }, { source: 'wal:own' }));
  await expect(reconciled(db, worker)).rejects.toThrow(
    'the source has no publication own: it is not the database that wal:own reads',
  );
  await db.query(`create publication own for table item where (id = 1)`);
  const why = 'the publication has a filter for rows of its table';
  expect(await reconciled(db, worker, repairs)).toMatchObject({ notCompared: { a: why, b: why } });
});

test('an id that is no value of its column any more is not in the table', async ({ db }) => {
  await itemsOf(db, `(1, 'x', 'a', '')`);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }));
  for (const id of ['', 'one', 'two']) {
    await worker.ingestor.ingest(past('c', 2, { id, k: 'x', kind: 'b' }));
  }
  expect(await reconciled(db, worker, repairs)).toMatchObject({
    differences: ['', 'one', 'two'].map((id) => ({ id, kind: 'gone' })),
    repaired: 3,
  });
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 0], fresh: 1 }]);
});

test('rows of partitions are those of their table, and rows of tables that inherit are not', async ({
  db,
}) => {
  await itemsOf(db, `(1, 'x', 'a', '')`);
  await db.query('create table special () inherits (item)');
  await db.query(`insert into special values (1, 'y', 'a', ''), (2, 'x', 'b', '')`);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }));
  expect(await reconciled(db, worker)).toMatchObject({ compared: { a: 1 }, differences: [] });
  await db.query('drop table item cascade');
  await db.query(
    `create table item (id bigint primary key, k text, kind text) partition by range (id);
     create table item_low partition of item for values from (0) to (10);
     create table item_high partition of item for values from (10) to (99);
     insert into item values (1, 'x', 'a'), (11, 'x', 'b')`,
  );
  expect(await reconciled(db, worker)).toMatchObject({
    compared: { a: 2 },
    differences: [{ part: 'b', id: '11', kind: 'missing' }],
  });
});

test('an unreachable source is named, not the state database', async ({ db }) => {
  await itemsOf(db, `(1, 'x', 'a', '')`);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  const url = new URL(db.url);
  url.password = 'wrong';
  await expect(reconciled({ url: url.href }, worker)).rejects.toThrow(
    /^the source: password authentication failed/,
  );
});

pooledTest('behind a pooler that shares sessions no setting is left', async ({ db }) => {
  await itemsOf(db, `(1, 'x', 'a', ''), (2, 'x', 'b', '')`);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }));
  const url = await pgbouncer(db, { pool_mode: 'transaction', default_pool_size: '1' });
  expect(await reconciled({ url }, worker, repairs)).toMatchObject({ repaired: 1 });
  const next = new pg.Client(url);
  await next.connect();
  const settings = ['search_path', 'row_security', 'TimeZone', 'default_transaction_read_only'];
  const shown = settings.map((name) => `current_setting('${name}')`).join(', ');
  const { rows } = await next.query({ text: `select ${shown}`, rowMode: 'array' });
  await next.end();
  const [own] = await db.query<Record<string, string>>(
    `select ${settings.map((name) => `current_setting('${name}') as "${name}"`).join(', ')}`,
  );
  expect(rows[0]).toEqual(Object.values(own!));
});
