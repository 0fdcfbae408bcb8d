import { expect } from 'vitest';
import { openDatabase } from '../../src/state/database.ts';
import { HandlerTx } from '../../src/state/handler-tx.ts';
import { test } from '../support/test.ts';

test('a handler can set savepoints in its transaction and can not end it', async ({ db }) => {
  const database = openDatabase({
    url: db.url,
    writers: 1,
    handlers: 1,
    handlerIdleMs: 60_000,
    statementTimeoutMs: 10_000,
    onIdleError: () => {},
  });
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
  expect(await tx.commit(async () => true)).toBe(true);
  expect(await db.query('select * from effect')).toEqual([{ n: 2 }]);
  await database.close();
});

test('an abandoned transaction leaves nothing, and its connection is free for the next', async ({
  db,
}) => {
  await db.query('create table effect (n int)');
  const database = openDatabase({
    url: db.url,
    writers: 1,
    handlers: 1,
    handlerIdleMs: 60_000,
    statementTimeoutMs: 10_000,
    onIdleError: () => {},
  });
  const abandoned = new HandlerTx(database);
  await abandoned.query('insert into effect values (1)');
  await abandoned.abandon();
  await expect(abandoned.query('insert into effect values (1)')).rejects.toThrow('has ended');
  const next = new HandlerTx(database);
  await next.query('insert into effect values (2)');
  await next.commit(async () => true);
  expect(await db.query('select * from effect')).toEqual([{ n: 2 }]);
  await database.close();
});
