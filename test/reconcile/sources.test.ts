/** Which rows of which source are compared, and that nothing is left behind there. */
import { randomUUID } from 'node:crypto';
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

test('a row is named by the primary key, and no column that decides may have a default for null', async ({
  db,
}) => {
  await db.query(
    `create table item (id int, tenant int, k text default 'none', kind text, primary key (tenant, id))`,
  );
  const parts = { a: { table: 'public.item', key: 'k', where: { kind: 'a' } } };
  const worker = await workerOn(db, [pairOf({ parts })]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }));
  expect(await reconciled(db, worker, repairs)).toMatchObject({
    notCompared: { a: 'its rows are named by id, which is not the primary key of its table' },
  });
  await db.query('alter table item drop column tenant; alter table item add primary key (id)');
  expect(await reconciled(db, worker, repairs)).toMatchObject({
    notCompared: {
      a: 'column k may be null and has a default, which a connector may send instead',
    },
  });
});

test('a table that the login may not read is named, and the session may end during the wait', async ({
  db,
}) => {
  await itemsOf(db, `(1, 'x', 'a', ''), (2, 'x', 'b', '')`);
  await db.query('create table secret (id int primary key, k text)');
  const login = `reader_${randomUUID().slice(0, 8)}`;
  await db.query(`create role ${login} login password 'secret'`);
  await db.query(`alter role ${login} set idle_session_timeout = '2s'`);
  await db.query(`grant select on item to ${login}`);
  const parts = { ...pairOf().parts, c: { table: 'public.secret', key: 'k' } };
  const worker = await workerOn(db, [pairOf({ parts, history: 'run' })]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }));
  const url = Object.assign(new URL(db.url), { username: login, password: 'secret' }).href;
  expect(await reconciled({ url }, worker, { ...repairs, waitMs: 4_000 })).toMatchObject({
    notCompared: { c: 'the source: permission denied for table secret' },
    differences: [{ id: '2' }],
    repaired: 1,
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
  const found = await reconciled({ url }, worker, { ...repairs, trusts: true });
  expect(found).toMatchObject({ repaired: 1 });
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
