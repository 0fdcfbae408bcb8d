import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import { test, type TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import { caughtUp, followerOn, newSlot, type TestFollower } from '../../support/wal.ts';

type Row = Record<string, unknown>;

interface Recorded {
  readonly value: { readonly after: Row };
  /** Key and value of the message in Kafka, as text. */
  readonly wire: { readonly key: string; readonly value: string };
}

/** A message of the real connector. */
function recorded(file: string): Recorded {
  return JSON.parse(readFileSync(`test/fixtures/debezium/json/${file}.json`, 'utf8'));
}

/**
 * Removes values that differ between runs (positions, times, transactions), and two that the reader of the log sets in
 * another way: the place of a row in its snapshot, and the last commit of a change, which is its own. Keeps all other bytes.
 */
function timeless(message: string): string {
  return message
    .replaceAll(/"(ts_ms|ts_us|ts_ns|txId|lsn)":\d+/g, '"$1":0')
    .replaceAll(/\\"\d+\\"/g, String.raw`\"0\"`)
    .replace(/"transaction":\{[^}]*\}/, '"transaction":null')
    .replace(/"db":"\w+"/, '"db":"app"')
    .replace(/"snapshot":"(?:first|last)"/, '"snapshot":"true"')
    .replace(/("snapshot":"false".*"sequence":"\[)null,/, String.raw`$1\"0\",`);
}

const bytes = (base64: unknown) =>
  typeof base64 === 'string' ? Buffer.from(base64, 'base64') : null;

/** Inserts the row of a recorded message. */
async function insert(client: pg.Client, file: string): Promise<void> {
  const { after } = recorded(file).value;
  const isNull = after['created_at'] === '1970-01-01T00:00:00.000000Z';
  const row: Row = {
    ...after,
    data: bytes(after['data']),
    span: bytes(after['span'])!.toString(),
    created_at: isNull ? null : after['created_at'],
  };
  const names = Object.keys(row);
  await client.query(
    `insert into datastore.signal (${names.join()}) values (${names.map((_, i) => `$${i + 1}`).join()})`,
    Object.values(row),
  );
}

const ID_FROM = (file: string) => `'${JSON.parse(recorded(file).wire.key).id}'`;

/** The statements run on the recorded table, and the resulting messages, in order. */
const STEPS: { title: string; act: (client: pg.Client) => Promise<unknown>; messages: string[] }[] =
  [
    { title: 'an insert', act: (c) => insert(c, '05-insert.c'), messages: ['05-insert.c'] },
    {
      title: 'two inserts in one transaction',
      act: async (c) => {
        await c.query('begin');
        await insert(c, '08-insert-two-in-one-transaction.c');
        await insert(c, '11-insert-two-in-one-transaction.c');
        await c.query('commit');
      },
      messages: ['08-insert-two-in-one-transaction.c', '11-insert-two-in-one-transaction.c'],
    },
    ...[
      '12-insert-nulls.c',
      '13-insert-unbounded-span.c',
      '14-insert-span-open-closed.c',
      '15-copy-three-rows.c',
      '18-insert-toasted.c',
    ].map((file) => ({
      title: file.slice(3, -2),
      act: (c: pg.Client) => insert(c, file),
      messages: [file],
    })),
    {
      title: 'an update',
      act: (c) =>
        c.query(
          `update datastore.signal set sample_rate = 500 where id = ${ID_FROM('19-update-identity-default.u')}`,
        ),
      messages: ['19-update-identity-default.u'],
    },
    {
      title: 'an update of a row with an unchanged TOASTed value',
      act: (c) =>
        c.query(
          `update datastore.signal set sample_rate = 500 where id = ${ID_FROM('20-update-toasted-unchanged-identity-default.u')}`,
        ),
      messages: ['20-update-toasted-unchanged-identity-default.u'],
    },
    {
      title: 'a new primary key',
      act: (c) =>
        c.query(
          `update datastore.signal set id = ${ID_FROM('23-update-primary-key-identity-default.c')} where id = ${ID_FROM('21-update-primary-key-identity-default.d')}`,
        ),
      messages: [
        '21-update-primary-key-identity-default.d',
        '23-update-primary-key-identity-default.c',
      ],
    },
    {
      title: 'a delete',
      act: (c) =>
        c.query(
          `delete from datastore.signal where id = ${ID_FROM('24-delete-identity-default.d')}`,
        ),
      messages: ['24-delete-identity-default.d'],
    },
    {
      title: 'an update under REPLICA IDENTITY FULL',
      act: async (c) => {
        await c.query('alter table datastore.signal replica identity full');
        await c.query(
          `update datastore.signal set sample_rate = 1000 where id = ${ID_FROM('26-update-identity-full.u')}`,
        );
      },
      messages: ['26-update-identity-full.u'],
    },
    {
      title: 'an update of a row with a TOASTed value under FULL',
      act: (c) =>
        c.query(
          `update datastore.signal set sample_rate = 1000 where id = ${ID_FROM('27-update-toasted-unchanged-identity-full.u')}`,
        ),
      messages: ['27-update-toasted-unchanged-identity-full.u'],
    },
    {
      title: 'a delete under FULL',
      act: (c) =>
        c.query(`delete from datastore.signal where id = ${ID_FROM('28-delete-identity-full.d')}`),
      messages: ['28-delete-identity-full.d'],
    },
    {
      title: 'a truncate',
      act: (c) => c.query('truncate datastore.signal'),
      messages: ['32-truncate.t'],
    },
  ];

/** A database with the original table, and a connection to it. */
async function datastoreOn(db: TestDatabase): Promise<pg.PoolClient> {
  const client = await db.pool.connect();
  onTestFinished(() => client.release());
  await client.query(readFileSync('dev/demo/datastore.sql', 'utf8'));
  return client;
}

const bodies = ({ changes }: TestFollower) =>
  changes.map(({ origin }) => Buffer.from(origin.body).toString());

test('every kind of change produces the same bytes as the real connector', async ({ db }) => {
  const client = await datastoreOn(db);
  const snapshot = ['02-snapshot.r', '01-snapshot.r', '03-snapshot.r'];
  for (const file of snapshot) await insert(client, file);
  const slot = newSlot();
  const follower = followerOn(db, 'datastore.signal', slot);
  await follower.reading();
  const expectMessages = (title: string, files: string[], from: number) => {
    const messages = bodies(follower).slice(from).map(timeless);
    const expected = files.map((file) => timeless(recorded(file).wire.value));
    expect({ title, messages }).toEqual({ title, messages: expected });
  };
  expectMessages('the existing rows', snapshot, 0);

  for (const { title, act, messages } of STEPS) {
    const before = follower.changes.length;
    await act(client);
    await caughtUp(db, slot);
    expectMessages(title, messages, before);
  }
  expect(follower.said).toEqual([]);
});

test('a change contains the position of its record and the time of its commit', async ({ db }) => {
  const client = await datastoreOn(db);
  const follower = followerOn(db, 'datastore.signal', newSlot());
  await follower.reading();
  const now = `select (pg_current_wal_insert_lsn() - '0/0')::float8 as lsn, extract(epoch from clock_timestamp())::float8 * 1000 as at`;
  const {
    rows: [before],
  } = await client.query(now);
  await client.query('begin');
  await insert(client, '05-insert.c');
  const {
    rows: [between],
  } = await client.query(now);
  await client.query('commit');
  const {
    rows: [after],
  } = await client.query(now);
  await until(() => follower.changes.length === 1);

  const { source, transaction } = JSON.parse(bodies(follower)[0]!);
  expect(source.lsn).toBeGreaterThanOrEqual(before.lsn);
  expect(source.lsn).toBeLessThan(between.lsn);
  expect(source.ts_ms).toBeGreaterThanOrEqual(Math.floor(between.at));
  expect(source.ts_ms).toBeLessThanOrEqual(after.at);
  expect(transaction).toBeNull();
  const [commit, lsn] = JSON.parse(source.sequence).map(Number);
  expect(lsn).toBe(source.lsn);
  expect(commit).toBeGreaterThanOrEqual(between.lsn);
  expect(commit).toBeLessThan(after.lsn);
});

test('an update of a table whose rows are named by another index is one message', async ({
  db,
}) => {
  await db.query(
    `create table item (id int primary key, k text unique not null, note text);
     alter table item replica identity using index item_k_key;
     insert into item values (1, 'x', 'a')`,
  );
  const follower = followerOn(db, 'public.item', newSlot());
  await follower.reading();
  await db.query(`update item set k = 'y'`);
  await until(() => follower.changes.length === 2);
  const { op, before, after } = JSON.parse(bodies(follower)[1]!);
  expect({ op, before, after }).toEqual({
    op: 'u',
    before: null,
    after: { id: 1, k: 'y', note: 'a' },
  });
});
