import { expect, onTestFinished } from 'vitest';
import { queryForAuthor } from '../../src/state/database/author-query.ts';
import { openDatabase, type Database } from '../../src/state/database/database.ts';
import { HandlerTx } from '../../src/state/database/handler-tx.ts';
import { test, type TestDatabase } from '../support/test.ts';

/** A database with one connection for handlers, which the transactions of a test use in turn. */
function database(db: TestDatabase): Database {
  const opened = openDatabase({
    url: db.url,
    writers: 1,
    handlers: 1,
    statementTimeoutMs: 20_000,
    handlerIdleMs: 60_000,
    onIdleError: () => {},
  });
  onTestFinished(() => opened.close());
  return opened;
}

/** Refused by us, or by the server, which does not allow a procedure to end its caller's transaction. */
const REFUSED =
  /not for the handler|multiple commands|invalid transaction termination|bind message supplies/;

const done = [{ text: 'select' }];

for (const text of [
  'select 1; commit',
  '/* */ commit',
  '/* a /* nested */ one */ commit',
  '-- a line\ncommit',
  '-- a line\rcommit',
  ';commit',
  ' ;; /**/ end',
  'COMMIT AND CHAIN',
  'commit/* */and chain',
  'rollback/* to savepoint s */',
  'rollback to s; commit',
  'rollback work',
  'rollback and chain',
  'abort and chain',
  "prepare /* */ transaction 'x'",
  'start -- it\ntransaction',
  'do $$ begin commit; end $$',
  'call ending()',
]) {
  test(`a handler can't end its transaction by ${JSON.stringify(text)}`, async ({ db }) => {
    await db.query('create table effect (n int)');
    await db.query('create procedure ending() language plpgsql as $$ begin commit; end $$');
    for (const values of [[], [1]]) {
      const tx = new HandlerTx(database(db));
      await tx.query('insert into effect values (1)');
      await tx.query('savepoint s');
      await expect(tx.query(text, values)).rejects.toThrow(REFUSED);
      await tx.abandon();
      const first = new HandlerTx(database(db));
      await expect(first.query(text, values)).rejects.toThrow(REFUSED);
      await first.abandon();
    }
    expect(await db.query('select * from effect')).toEqual([]);
  });
}

test('statements that only look like an end of the transaction are sent', async ({ db }) => {
  const tx = new HandlerTx(database(db));
  await tx.query('/* commit */ select 1 as commit');
  await tx.query('savepoint a');
  await tx.query('rollback work to a');
  await tx.query('rollback /* */ to savepoint a');
  await tx.query('release a');
  await tx.query('select $1::text', ['; commit']);
  expect(await tx.commit(done)).toBe(true);
});

test('several statements at a time are refused by the server, with that reason', async ({ db }) => {
  const tx = new HandlerTx(database(db));
  await expect(tx.query('select 1; select 2')).rejects.toThrow('one statement at a time');
  await tx.abandon();
});

test('a statement that ended the transaction is a final error, and no query is sent after it', async ({
  db,
}) => {
  await db.query('create table effect (n int)');
  const pools = database(db);
  const client = await pools.handlers.connect();
  const connection = client.connection as unknown as { parse(query: { text: string }): void };
  const parse = connection.parse.bind(connection);
  connection.parse = (query) => parse(query.text === 'select 0' ? { text: 'commit' } : query);
  client.release();
  const tx = new HandlerTx(pools);
  await tx.query('insert into effect values (1)');
  await expect(tx.query('select 0')).rejects.toMatchObject({
    name: 'TerminalError',
    message: expect.stringContaining("'select 0' has ended the transaction"),
  });
  await expect(tx.query('insert into effect values (2)')).rejects.toThrow('has ended the');
  await expect(tx.commit([{ text: 'insert into effect values (3)' }])).rejects.toThrow(
    'has ended the',
  );
  expect(await db.query('select n from effect')).toEqual([{ n: 1 }]);
  await expect.poll(() => pools.handlers.totalCount).toBe(0);
});

test('a transaction that was ended and begun again is an error, too', async ({ db }) => {
  const client = await database(db).handlers.connect();
  await client.query('begin');
  await expect(queryForAuthor(client, 'commit and chain', [])).rejects.toThrow('has ended the');
  client.release(true);
});

test('queries after the end that are not awaited cause no unhandled rejections', async ({ db }) => {
  const unhandled: unknown[] = [];
  const hear = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', hear);
  onTestFinished(() => void process.off('unhandledRejection', hear));
  const tx = new HandlerTx(database(db));
  void tx.query('select pg_sleep(60)');
  void tx.query('select 1');
  void tx.query('commit');
  await tx.abandon();
  void tx.query('select 2');
  void tx.query('select 3', [1n]);
  await db.query('select'); // at least one turn of the event loop
  expect(unhandled).toEqual([]);
});

/** State that a handler may leave in its session, and a query that shows it. */
const LEFTOVERS: [name: string, text: string, look: string, clean: unknown][] = [
  ['a search path', `set search_path = muster`, 'show search_path', '"$user", public'],
  [
    'a setting that a function has changed',
    `select set_config('statement_timeout', '1', false)`,
    'show statement_timeout',
    '1min',
  ],
  [
    'a read-only session',
    `set session characteristics as transaction read only`,
    'show default_transaction_read_only',
    'off',
  ],
  ['a date style', `set datestyle = german`, 'show datestyle', 'ISO, MDY'],
  ['a role', 'set role pg_monitor', 'select current_user', 'postgres'],
  [
    'another login',
    'set session authorization pg_monitor',
    'select session_user::text',
    'postgres',
  ],
  [
    'a temporary table',
    'create temp table kept as select 1 as n',
    `select to_regclass('pg_temp.kept')`,
    null,
  ],
  [
    'a prepared statement',
    'prepare kept as select 1',
    'select count(*)::int from pg_prepared_statements where from_sql',
    0,
  ],
  [
    'a cursor',
    'declare kept cursor with hold for select 1',
    'select count(*)::int from pg_cursors where is_holdable',
    0,
  ],
  ['a channel', 'listen kept', 'select count(*)::int from pg_listening_channels()', 0],
  [
    'an advisory lock',
    'select pg_advisory_lock(7)',
    // other tests' locks are in other databases of this server
    `select count(*)::int from pg_locks where locktype = 'advisory' and objid = 7
       and database = (select oid from pg_database where datname = current_database())`,
    0,
  ],
];

for (const [name, text, look, clean] of LEFTOVERS) {
  test(`the next transaction does not see ${name} of the previous one`, async ({ db }) => {
    const pools = database(db);
    const first = new HandlerTx(pools);
    await first.query(text);
    await first.commit(done).catch(() => {}); // the role may lack a privilege that the last statement needs
    const next = new HandlerTx(pools);
    const { rows } = await next.query<Record<string, unknown>>(look);
    expect(Object.values(rows[0]!)).toEqual([clean]);
    await next.abandon();
  });
}

test('a clean connection is reused, with our prepared statement', async ({ db }) => {
  const pools = database(db);
  const sessions = new Set<unknown>();
  for (let i = 0; i < 3; i++) {
    const tx = new HandlerTx(pools);
    const { rows } = await tx.query(
      'select pg_backend_pid(), count(*) from pg_prepared_statements',
    );
    expect(rows[0]).toMatchObject({ count: i === 0 ? '0' : '1' });
    sessions.add((rows[0] as { pg_backend_pid: number }).pg_backend_pid);
    await tx.commit([{ name: 'last', text: 'select' }]);
  }
  expect(sessions.size).toBe(1);
});

test("a handler can't deallocate all prepared statements", async ({ db }) => {
  const pools = database(db);
  const tx = new HandlerTx(pools);
  await expect(tx.query('deallocate prepare all')).rejects.toThrow('name the statement');
  await tx.query(`do $$ begin execute 'deallocate all'; end $$`);
  expect(await tx.commit(done)).toBe(true);
  const next = new HandlerTx(pools);
  await next.query('select 1');
  expect(await next.commit([{ name: 'last', text: 'select' }])).toBe(true);
});

test("our last statements don't use the handler's search path", async ({ db }) => {
  await db.query('create table seen (path text)');
  const tx = new HandlerTx(database(db));
  await tx.query('insert into seen values ($1)', ['found by the path of the login']);
  await tx.query('set local search_path = public, pg_catalog');
  await tx.commit([{ text: `insert into public.seen select current_setting('search_path')` }]);
  expect(await db.query('select path from seen')).toEqual([
    { path: 'found by the path of the login' },
    { path: 'pg_catalog, pg_temp' },
  ]);
});
