import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { expect, inject, onTestFinished } from 'vitest';
import { openDatabase } from '../../../src/state/database/database.ts';
import { migrate } from '../../../src/state/schema/migrate.ts';
import { openReader } from '../../../src/state/database/reader.ts';
import { openInspector } from '../../../src/state/database/inspector.ts';
import {
  openSession,
  prepareSession,
  SESSION,
  settingsAfterReset,
  timeoutSetting,
} from '../../../src/state/database/session.ts';
import { durableServer } from '../../support/durable.ts';
import { engineOn } from '../../support/engine.ts';
import { databaseOn } from '../../support/worker.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { test } from '../../support/test.ts';
import { until } from '../../support/until.ts';

/** Defaults of a database that change the format of values, name lookup, timeouts or durability. */
const DEFAULTS = {
  DateStyle: `'German'`,
  IntervalStyle: `'sql_standard'`,
  extra_float_digits: '-5',
  bytea_output: `'escape'`,
  standard_conforming_strings: 'off',
  array_nulls: 'off',
  transform_null_equals: 'on',
  default_transaction_isolation: `'serializable'`,
  synchronous_commit: 'off',
  lock_timeout: '1',
  transaction_timeout: '1000',
  idle_session_timeout: '1000',
  search_path: 'public, pg_catalog',
  TimeZone: `'Asia/Kathmandu'`,
  enable_indexscan: 'on',
  plan_cache_mode: `'force_custom_plan'`,
  statement_timeout: '100',
  idle_in_transaction_session_timeout: '100',
};

async function defaultsOf(url: string, defaults: Readonly<Record<string, string>>) {
  const admin = new pg.Client(`${inject('serverUrl')}/postgres`);
  onTestFinished(() => admin.end());
  await admin.connect();
  const name = new URL(url).pathname.slice(1);
  const { rows } = await admin.query<{ name: string }>(
    'select lower(name) as name from pg_settings',
  );
  const known = new Set(rows.map(({ name: setting }) => setting));
  for (const [setting, value] of Object.entries(defaults)) {
    if (!known.has(setting.toLowerCase())) continue; // transaction_timeout is new in 17
    await admin.query(`alter database ${name} set ${setting} = ${value}`);
  }
}

test('every connection has its own settings, regardless of the defaults of the database', async ({
  db,
}) => {
  await defaultsOf(db.url, DEFAULTS);
  const database = databaseOn(db);
  onTestFinished(() => database.close());
  const reader = openReader({
    url: db.url,
    connections: 1,
    statementTimeoutMs: 90_000,
    onIdleError: () => {},
  });
  onTestFinished(() => reader.close());
  const inspector = await openInspector(db.url);
  onTestFinished(() => inspector.close());
  const text = `select name, current_setting(name, true) as value from unnest($1::text[]) as s (name)`;
  const names = [...Object.keys(SESSION), 'search_path', 'statement_timeout', 'TimeZone'];
  const seen: Record<string, Record<string, string>> = {};
  for (const [pool, rows] of Object.entries({
    writers: (await database.writers.query<Setting>(text, [names])).rows,
    control: (await database.control.query<Setting>(text, [names])).rows,
    handlers: (await database.handlers.query<Setting>(text, [names])).rows,
    chunks: (await database.chunks.query<Setting>(text, [names])).rows,
    reader: (await reader.read((tx) => tx.query<Setting>(text, [names]))).rows,
    inspector: await inspector.query<Setting>(text, [names]),
  })) {
    const known = rows.filter(({ value }) => value !== null); // transaction_timeout is new in 17
    seen[pool] = Object.fromEntries(known.map(({ name, value }) => [name, value!]));
  }
  const session = Object.entries(SESSION).filter(([name]) => name in seen['writers']!);
  const common = { ...Object.fromEntries(session), DateStyle: 'ISO, DMY' };
  const own = { ...common, search_path: 'pg_catalog, pg_temp' };
  const theirs = { ...common, search_path: 'public, pg_catalog', TimeZone: 'Asia/Kathmandu' };
  expect(seen).toEqual({
    writers: { ...own, statement_timeout: '20s', TimeZone: 'UTC' },
    control: { ...own, statement_timeout: '20s', TimeZone: 'UTC' },
    handlers: { ...theirs, statement_timeout: '10min' },
    chunks: { ...theirs, statement_timeout: '20s' },
    reader: { ...own, statement_timeout: '90s', TimeZone: 'Asia/Kathmandu' },
    inspector: {
      ...own,
      lock_timeout: '2s',
      statement_timeout: '10s',
      TimeZone: 'Asia/Kathmandu',
    },
  });
});

interface Setting {
  readonly name: string;
  readonly value: string | null;
}

test('a set runs, and its times are read correctly, regardless of the defaults of the database', async ({
  db,
}) => {
  await defaultsOf(db.url, DEFAULTS);
  const seen: unknown[] = [];
  const pair = pairOf({
    handle: async (set, { tx }) => {
      const { rows } = await tx.query<{ now: unknown }>('select now()');
      seen.push(set.parts['a']![0]!.since, rows[0]!.now);
    },
  });
  const engine = await engineOn(db, [pair]);
  for (const each of [partA(), partB()]) await engine.ingestor.ingest(each);
  await until(() => seen.length === 2);
  await engine.stop();
  expect(seen.map((each) => each instanceof Date && !Number.isNaN(each.getTime()))).toEqual([
    true,
    true,
  ]);
});

test("another user's function in public is not called in place of a built-in one", async ({
  db,
}) => {
  await db.query(`
    create function public.concat_ws(text, text, text, int, text, bigint) returns text
    language sql as $$ select 'forged' $$`);
  const pair = pairOf({
    retry: { attempts: 1 },
    handle: () => {
      throw new Error('no');
    },
  });
  const engine = await engineOn(db, [pair]);
  for (const each of [partA(), partB()]) await engine.ingestor.ingest(each);
  const ids = await until(async () => {
    const rows = await db.query<{ event_id: string }>('select event_id from muster.outbox');
    return rows.length > 0 && rows.map((row) => row.event_id);
  });
  await engine.stop();
  expect(ids).toEqual(['pair/x/1/failed/1']);
});

test('a migration needs no privilege to create schemas that exist', async ({ db }) => {
  const login = `login_${randomUUID().replaceAll('-', '')}`;
  await db.query(`drop schema muster cascade; drop schema recordings cascade;
    create role ${login} login password 'secret';
    create schema muster authorization ${login}; create schema recordings authorization ${login}`);
  const url = new URL(db.url);
  url.username = login;
  url.password = 'secret';
  expect((await migrate(url.href, ['recordings'])).at(-1)).toBe('recordings/001_processed');
  expect(await migrate(url.href, ['recordings'])).toEqual([]);
  await db.query(`drop owned by ${login}; drop role ${login}`);
});

test('timeouts are written as the server shows them', async ({ db }) => {
  for (const ms of [0, 1, 999, 1_000, 90_000, 60_000, 5_400_000, 3_600_000, 86_400_000]) {
    const [row] = await db.query(`select set_config('statement_timeout', $1, true) as shown`, [
      String(ms),
    ]);
    expect(row).toEqual({ shown: timeoutSetting(ms) });
  }
});

/** A connection on which this setting keeps its value, as behind a proxy that answers for the server. */
function unchanging(setting: string): pg.ClientBase {
  const query = ({ values: [names, wanted] }: { values: [string[], string[]] }) => ({
    rows: names.map((name, i) => ({
      name,
      pid: 7,
      before: name === 'muster.session' ? null : 'off',
      after: name === setting ? 'off' : wanted[i]!,
    })),
  });
  return { processID: 7, query } as unknown as pg.ClientBase;
}

test.for(['synchronous_commit', 'default_transaction_isolation', 'plan_cache_mode'])(
  'a connection on which %s does not take effect is refused, with its value',
  async (name) => {
    const settings = { ...SESSION, plan_cache_mode: 'force_generic_plan' };
    await expect(prepareSession(unchanging(name), {}, settings)).rejects.toThrow(
      `${name} is off on this connection, not `,
    );
    await prepareSession(unchanging('another'), {}, settings);
  },
);

test("commits stay durable although the server's default changes while a session lives", async () => {
  const { url, stop } = await durableServer();
  onTestFinished(stop);
  const server = await openSession({ connectionString: url }, SESSION);
  const session = await openSession({ connectionString: url }, SESSION);
  onTestFinished(async () => void (await Promise.all([server.end(), session.end()])));
  await server.query('alter system set synchronous_commit = off');
  await server.query('select pg_reload_conf()');
  // as after a handler's transaction
  await until(async () => {
    await session.query('reset all');
    const { rows } = await session.query<{ commit: string }>(
      `select current_setting('synchronous_commit') as commit`,
    );
    return rows[0]!.commit === 'off';
  });
  await session.query(settingsAfterReset(session));
  const { rows } = await session.query('show synchronous_commit');
  expect(rows).toEqual([{ synchronous_commit: 'on' }]);
});

test('a connection whose settings are refused is not used, and the reason is reported', async ({
  db,
}) => {
  const database = openDatabase({
    url: db.url,
    writers: 1,
    handlers: 1,
    statementTimeoutMs: -5,
    handlerIdleMs: 60_000,
    onIdleError: () => {},
  });
  onTestFinished(() => database.close());
  await expect(database.writers.query('select')).rejects.toThrow('statement_timeout');
});
