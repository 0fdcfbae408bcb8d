import { expect } from 'vitest';
import { HandlerTx } from '../../src/state/database/handler-tx.ts';
import { databaseOn } from '../support/worker.ts';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';

test("a handler can set savepoints in its transaction, and can't end it", async ({ db }) => {
  const database = databaseOn(db);
  const tx = new HandlerTx(database);
  await tx.query('create table effect (n int)');
  await tx.query('savepoint before');
  await tx.query('insert into effect values (1)');
  await tx.query('rollback to savepoint before');
  for (const text of [
    'commit',
    ' COMMIT;',
    'rollback',
    'end',
    'abort',
    'begin',
    'start transaction',
  ]) {
    await expect(tx.query(text)).rejects.toThrow('the transaction ends with its run');
  }
  await tx.query('insert into effect values (2)');
  expect(await tx.commit([{ text: 'select' }])).toBe(true);
  expect(await db.query('select * from effect')).toEqual([{ n: 2 }]);
  await database.close();
});

test('the last statements run as the login, regardless of the role and settings that the handler has set', async ({
  db,
}) => {
  await db.query('create table effect (role text, data text)');
  const database = databaseOn(db);
  const tx = new HandlerTx(database);
  await tx.query('set local role pg_monitor');
  await tx.query('set array_nulls = off');
  const text = `insert into public.effect select current_user, data from unnest($1::text[]) data`;
  expect(await tx.commit([{ text, values: [[null]] }])).toBe(true);
  expect(await db.query('select * from effect')).toEqual([{ role: 'postgres', data: null }]);
  await database.close();
});

test('an abandoned transaction leaves nothing behind, and its connection is free for the next', async ({
  db,
}) => {
  await db.query('create table effect (n int)');
  const database = databaseOn(db);
  const abandoned = new HandlerTx(database);
  await abandoned.query('insert into effect values (1)');
  await abandoned.abandon();
  await expect(abandoned.query('insert into effect values (1)')).rejects.toThrow('has ended');
  const next = new HandlerTx(database);
  await next.query('insert into effect values (2)');
  await next.commit([{ text: 'select' }]);
  expect(await db.query('select * from effect')).toEqual([{ n: 2 }]);
  await database.close();
});

for (const [name, text, values] of [
  ['a first query', 'select pg_sleep($1)', [600]],
  ['a first query without values', 'select pg_sleep(600)', []],
] as const) {
  test(`the server ends ${name} that still runs when its transaction is abandoned`, async ({
    db,
  }) => {
    const database = databaseOn(db);
    const abandoned = new HandlerTx(database);
    const query = abandoned.query(text, values).catch((error: Error) => error.message);
    const sleeping = () =>
      db.query(`select from pg_stat_activity where query = $1 and state = 'active'`, [text]);
    await until(async () => (await sleeping()).length === 1);
    await abandoned.abandon();
    expect(await query).toContain('Connection terminated');
    await until(async () => (await sleeping()).length === 0);
    await database.close();
  });
}

test('a query whose BEGIN fails is not executed, nor any after it', async ({ db }) => {
  await db.query('create table effect (n int)');
  const database = databaseOn(db);
  const client = await database.handlers.connect();
  const connection = client.connection as unknown as { parse(query: { text: string }): void };
  const parse = connection.parse.bind(connection);
  connection.parse = (query) => parse(query.text === 'begin' ? { text: 'begim' } : query);
  client.release();
  const tx = new HandlerTx(database);
  for (const n of [1, 2]) {
    await expect(tx.query('insert into effect values ($1)', [n])).rejects.toThrow('"begim"');
  }
  await expect(tx.commit([{ text: 'select' }])).rejects.toThrow('"begim"');
  expect(await db.query('select * from effect')).toEqual([]);
  await database.close();
});

test('a last statement that fails rolls back, although COMMIT is sent right after it', async ({
  db,
}) => {
  await db.query('create table effect (n int)');
  const database = databaseOn(db);
  const failing = new HandlerTx(database);
  await failing.query('insert into effect values (1)');
  const last = failing.commit([{ text: 'select 1 / 0' }]);
  await expect(last).rejects.toThrow('division by zero');
  const fenced = new HandlerTx(database);
  await fenced.query('insert into effect values (2)');
  const held = fenced.commit([{ text: 'select muster.fence(false)' }]);
  expect(await held).toBe(false);
  expect(await db.query('select * from effect')).toEqual([]);
  // and the connections are still usable
  const next = new HandlerTx(database);
  await next.query('insert into effect values (3)');
  expect(await next.commit([{ text: 'select' }])).toBe(true);
  expect(await db.query('select * from effect')).toEqual([{ n: 3 }]);
  await database.close();
});

test('a query that the handler did not await is written, or the transaction fails', async ({
  db,
}) => {
  await db.query('create table effect (n int primary key)');
  const database = databaseOn(db);
  const written = new HandlerTx(database);
  const first = written.query('insert into effect values (1)');
  const second = written.query('insert into effect values (2)');
  expect(await written.commit([{ text: 'select' }])).toBe(true);
  await Promise.all([first, second]);
  expect(await db.query('select * from effect')).toEqual([{ n: 1 }, { n: 2 }]);

  const failing = new HandlerTx(database);
  const fine = failing.query('insert into effect values (3)');
  const again = failing.query('insert into effect values (1)').catch(({ code }) => code as string);
  const last = failing.commit([{ text: 'select 1' }]);
  await expect(last).rejects.toThrow('current transaction is aborted');
  await fine;
  expect(await again).toBe('23505');
  expect(await db.query('select * from effect')).toEqual([{ n: 1 }, { n: 2 }]);
  await database.close();
});

test("values that can't be sent fail the first query, and such values in the last query commit nothing", async ({
  db,
}) => {
  await db.query('create table effect (n int)');
  const database = databaseOn(db);
  const tx = new HandlerTx(database);
  await expect(tx.query('select $1::jsonb', [{ n: 1n }])).rejects.toThrow('BigInt');
  await tx.query('insert into effect values ($1)', [1]); // the transaction has begun nevertheless
  const last = tx.commit([{ text: 'select $1::jsonb', values: [{ n: 1n }] }]);
  await expect(last).rejects.toThrow('BigInt');
  await database.close();
  expect(await db.query('select * from effect')).toEqual([]);
});

test("values that can't be sent fail only their query, and no answer goes to another one", async ({
  db,
}) => {
  const database = databaseOn(db);
  const tx = new HandlerTx(database);
  const answers = await Promise.all([
    tx.query<{ n: number }>('select 1 as n, $1::text', ['a']),
    tx.query('select $1::jsonb', [{ n: 1n }]).catch((error: Error) => error.message),
    tx.query<{ n: number }>('select 2 as n, $1::text', ['b']),
  ]);
  expect(answers.map((each) => (typeof each === 'string' ? each : each.rows[0]))).toEqual([
    { n: 1, text: 'a' },
    expect.stringContaining('BigInt'),
    { n: 2, text: 'b' },
  ]);
  expect(await tx.commit([{ text: 'select' }])).toBe(true);
  await database.close();
});
