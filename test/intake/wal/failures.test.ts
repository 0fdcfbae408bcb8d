import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import type { FunctionDefinition } from '../../../src/function.ts';
import { Unavailable } from '../../../src/state/outcome.ts';
import { muster } from '../../cli/command.ts';
import { hold } from '../../support/blocked.ts';
import { pairOf } from '../../support/pair.ts';
import { startProxy } from '../../support/proxy.ts';
import { install } from '../../support/server.ts';
import { databaseAt, test, type TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import { Proxy } from '../../stack/support/proxy.ts';
import { caughtUp, dropSlot, newSlot, readerOn } from '../../support/wal.ts';

const ITEM = 'create table item (id text primary key, k text, kind text)';
const OTHER = 'create table other (id text primary key, k text, kind text)';

const otherPair = (): FunctionDefinition =>
  pairOf({
    name: 'other-pair',
    parts: {
      a: { table: 'public.other', key: 'k', where: { kind: 'a' } },
      b: { table: 'public.other', key: 'k', where: { kind: 'b' } },
    },
  });

/** Inserts both rows of sets, each in a transaction of its own. */
async function insertPairs(source: TestDatabase, keys: readonly string[], table = 'item') {
  for (const k of keys) {
    await source.query(`insert into ${table} values ($1 || 'a', $1, 'a')`, [k]);
    await source.query(`insert into ${table} values ($1 || 'b', $1, 'b')`, [k]);
  }
}

async function doneKeys(db: TestDatabase): Promise<string[]> {
  const rows = await db.query<{ key: string }>(
    `select key from muster.run where state = 'done' and revision > 0 order by key`,
  );
  return rows.map(({ key }) => key);
}

/** A server of its own as the source, with a database that has the table. */
async function ownSource(flags: readonly string[] = []) {
  const { server, url: serverUrl, remove } = await install(flags);
  await server.start();
  const { db, close } = databaseAt(`${serverUrl}/postgres`);
  db.pool.on('connect', (client) => client.on('error', () => {}));
  onTestFinished(async () => {
    await close();
    await server.stop();
    await remove();
  });
  await db.query(ITEM);
  return { source: db, server };
}

test('a slot that is dropped while it is read is reported, and all rows are read again', async ({
  db,
}) => {
  await db.query(ITEM);
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  await insertPairs(db, ['x']);
  await db.query(`insert into item values ('ya', 'y', 'a'), ('za', 'other', 'a')`);
  await until(async () => (await doneKeys(db)).length === 1);
  await caughtUp(db, reader.slot);
  await until(async () => {
    await db.query(
      'select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1',
      [reader.slot],
    );
    return db
      .query('select pg_drop_replication_slot($1)', [reader.slot])
      .then(() => true)
      .catch(() => false);
  });
  // What is read within a minute of the change that it replaces is newer nevertheless.
  await db.query(`update item set k = 'z' where id = 'za'`);
  await db.query(`insert into item values ('yb', 'y', 'b'), ('zb', 'z', 'b')`);
  await until(async () => (await doneKeys(db)).length === 3);
  expect(await doneKeys(db)).toEqual(['x', 'y', 'z']);
  const [lost] = (await reader.metrics.walSlotsLost.get()).values;
  expect(lost!.value).toBe(1);
  expect(reader.lines).toContainEqual(
    expect.objectContaining({
      level: 'error',
      why: 'the slot was dropped',
      message: expect.stringContaining('changes of the source were lost') as string,
    }),
  );
  await reader.reading();
});

test('rows that arrive while the slot is lost run, even if nothing was streamed before', async ({
  db,
}) => {
  await db.query(ITEM);
  await insertPairs(db, ['history']);
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  await reader.stop();
  await db.query('select pg_drop_replication_slot($1)', [reader.slot]);
  await insertPairs(db, ['x']);
  const next = await readerOn(db, [pairOf()], { slot: reader.slot });
  await next.reading();
  await until(async () => (await doneKeys(db)).includes('x'));
  const runs = await db.query('select key, revision from muster.run order by key');
  expect(runs).toEqual([
    { key: 'history', revision: 0 },
    { key: 'x', revision: 1 },
  ]);
});

test(
  'a source that vanishes without a word is connected to again',
  { timeout: 60_000 },
  async ({ db }) => {
    await db.query(ITEM);
    const url = new URL(db.url);
    const proxy = await Proxy.to(Number(url.port));
    onTestFinished(() => proxy.close());
    url.port = String(proxy.port);
    const reader = await readerOn(db, [pairOf()], { source: { ...db, url: url.href } });
    await reader.reading();
    proxy.vanish();
    await insertPairs(db, ['x']);
    await until(async () => (await doneKeys(db)).length === 1, 40_000);
  },
);

test('a publication that was dropped makes all rows be read again', async ({ db }) => {
  await db.query(ITEM);
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  await insertPairs(db, ['x']);
  await until(async () => (await doneKeys(db)).length === 1);
  await reader.stop();
  await db.query(`drop publication ${reader.slot}`);
  await insertPairs(db, ['y']);
  const next = await readerOn(db, [pairOf()], { slot: reader.slot });
  await until(async () => (await doneKeys(db)).length === 2);
  expect((await next.metrics.walSlotsLost.get()).values[0]!.value).toBe(1);
});

test('a table that is removed from the publication is added again, and its rows are read', async ({
  db,
}) => {
  await db.query(ITEM);
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  await db.query(`alter publication ${reader.slot} drop table item`);
  await insertPairs(db, ['x']);
  await until(async () => (await doneKeys(db)).length === 1);
});

test('the rows of a table that a new function brings are read, and those of the others are not', async ({
  db,
}) => {
  await db.query(`${ITEM}; ${OTHER}`);
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  await insertPairs(db, ['x']);
  await insertPairs(db, ['y', 'z'], 'other');
  await until(async () => (await doneKeys(db)).length === 1);
  await reader.stop();

  const next = await readerOn(db, [pairOf(), otherPair()], { slot: reader.slot });
  await next.reading();
  await until(async () => (await doneKeys(db)).length === 3);
  expect((await next.metrics.walChanges.get()).values).toContainEqual(
    expect.objectContaining({ labels: { kind: 'read' }, value: 4 }),
  );
  await insertPairs(db, ['later'], 'other');
  await until(async () => (await doneKeys(db)).length === 4);
  await next.stop();

  const again = await readerOn(db, [pairOf(), otherPair()], { slot: reader.slot });
  await again.reading();
  expect((await again.metrics.walChanges.get()).values).toContainEqual(
    expect.objectContaining({ labels: { kind: 'read' }, value: 0 }),
  );
});

test('a new table whose reading was interrupted is read at the next start', async ({ db }) => {
  await db.query(`${ITEM}; ${OTHER}`);
  const first = await readerOn(db, [pairOf()]);
  await first.reading();
  await first.stop();
  await insertPairs(db, ['x', 'y'], 'other');
  const holder = await db.pool.connect();
  onTestFinished(() => holder.release(true));
  await holder.query('begin; lock table muster.barrier in share mode');
  const doomed = await readerOn(db, [pairOf(), otherPair()], { slot: first.slot });
  await until(() => doomed.lines.some(({ message }) => message === 'reading the rows of tables'));
  await doomed.interrupt();
  await holder.query('rollback');
  await doomed.stop();

  const next = await readerOn(db, [pairOf(), otherPair()], { slot: first.slot });
  await next.reading();
  await until(async () => (await doneKeys(db)).length === 2);
}, 90_000);

test('a source that replaces another one has the same rows, and runs nothing twice', async ({
  db,
}) => {
  await db.query(ITEM);
  const before = await readerOn(db, [pairOf()]);
  await before.reading();
  await insertPairs(db, ['x']);
  await db.query(`insert into item values ('ya', 'y', 'a')`);
  await until(async () => (await doneKeys(db)).length === 1);
  await caughtUp(db, before.slot);
  await before.stop();
  await db.query(`insert into item values ('yb', 'y', 'b')`);
  const slot = newSlot();
  const names = [`wal:${before.slot}`, `wal:${slot}`];
  expect(await muster({ DATABASE_URL: db.url }, ['source', 'replace', ...names])).toMatchObject({
    code: 0,
  });
  const after = await readerOn(db, [pairOf()], { slot });
  await after.reading();
  await until(async () => (await doneKeys(db)).length === 2);
  expect(await db.query('select from muster.member where in_set')).toHaveLength(4);
  expect((await after.metrics.walSlotsLost.get()).values[0]!.value).toBe(0);
});

test('a snapshot that is interrupted is repeated, and no row is missing', async ({ db }) => {
  await db.query(ITEM);
  await db.query(
    `insert into item select k || kind, k, kind from generate_series(1, 1500) k, unnest('{a,b}'::text[]) kind`,
  );
  // Nothing is ingested while this lock is held. A stronger one would hold up the creation of the slot, too.
  const holder = await db.pool.connect();
  onTestFinished(() => holder.release(true));
  await holder.query('begin; lock table muster.barrier in share mode');
  const first = await readerOn(db, [pairOf()]);
  // All rows are read, and wait to be ingested; or there is a slot already, which would be too early.
  const waits = `
    select from pg_stat_activity
    where application_name = $1 and query = 'close captured' and state_change < clock_timestamp() - interval '0.3 s'
    union all select from pg_replication_slots where slot_name = $2`;
  await until(
    async () => (await db.query(waits, [`muster ${first.slot}`, first.slot])).length > 0,
    25_000,
  );
  await first.interrupt();
  expect(
    await db.query('select from pg_replication_slots where slot_name = $1', [first.slot]),
  ).toEqual([]);
  await holder.query('rollback');
  await first.stop();

  const second = await readerOn(db, [pairOf()], { slot: first.slot });
  await second.reading();
  const [members] = await db.query<{ n: number }>(
    'select count(*)::int as n from muster.member where in_set',
  );
  expect(members!.n).toBe(3000);
  expect(await doneKeys(db)).toEqual([]);
}, 90_000);

test("while Muster's database is away the source waits, and nothing is lost", async ({ db }) => {
  const { source } = await ownSource();
  const proxy = await startProxy(db.url);
  const port = Number(new URL(proxy.url).port);
  const through = { ...db, url: proxy.url };
  const reader = await readerOn(through, [pairOf()], { source });
  await reader.reading();
  await insertPairs(source, ['before']);
  await until(async () => (await doneKeys(db)).length === 1);
  await proxy.close();
  const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
  await insertPairs(source, keys);
  await until(() => reader.trouble() !== null);
  expect(reader.trouble()).toMatch(/^the state database: /);
  const back = await startProxy(db.url, port);
  onTestFinished(() => back.close());
  await until(async () => (await doneKeys(db)).length === 301, 60_000);
  await caughtUp(source, reader.slot);
  expect(reader.trouble()).toBeNull();
}, 90_000);

test('a source that restarts is read on where it was acknowledged', async ({ db }) => {
  const { source, server } = await ownSource();
  const reader = await readerOn(db, [pairOf()], { source });
  await reader.reading();
  await insertPairs(source, ['x']);
  await until(async () => (await doneKeys(db)).length === 1);
  await server.stop();
  await until(() => reader.trouble() !== null);
  await server.start();
  await insertPairs(source, ['y']);
  await until(async () => (await doneKeys(db)).length === 2);
  expect(
    reader.lines.filter(({ message }) => message === 'reading the rows of tables'),
  ).toHaveLength(1);
}, 60_000);

test('a source whose log ends before what was ingested is refused, until a new epoch begins', async ({
  db,
}) => {
  await db.query(ITEM);
  const slot = newSlot();
  await db.query(`insert into muster.source (name, lsn, at, streamed_at) values ($1, $2, 1, 1)`, [
    `wal:${slot}`,
    String(1n << 50n),
  ]);
  const reader = await readerOn(db, [pairOf()], { slot });
  await until(() => reader.trouble() !== null);
  expect(reader.trouble()).toMatch(
    /^the log of the source ends at \w+\/\w+, but was ingested up to 40000\/0: .* muster epoch bump wal:/,
  );
  await muster({ DATABASE_URL: db.url }, ['epoch', 'bump', `wal:${slot}`]);
  await insertPairs(db, ['x']);
  await reader.reading();
  await until(async () => (await doneKeys(db)).length === 1);
});

test('a second process waits without trouble, and takes over; one for other functions is refused', async ({
  db,
}) => {
  await db.query(`${ITEM}; ${OTHER}`);
  const first = await readerOn(db, [pairOf()]);
  await first.reading();
  const second = await readerOn(db, [pairOf()], { slot: first.slot });
  const stranger = await readerOn(db, [otherPair()], { slot: first.slot });
  const waits = 'another process reads the slot, waiting to take over';
  await until(() => second.lines.some(({ message }) => message === waits));
  await until(() => stranger.trouble() !== null);
  expect(second.trouble()).toBeNull();
  expect(stranger.trouble()).toBe(
    `the slot ${first.slot} is read for other functions (pair): set WAL_SLOT to another name, or serve all functions by the same processes`,
  );
  await stranger.stop();
  await first.stop();
  await second.reading();
  await insertPairs(db, ['x']);
  await until(async () => (await doneKeys(db)).length === 1);
});

test('a process that another release supersedes leaves the slot to it', async ({ db }) => {
  await db.query(ITEM);
  const old = await readerOn(db, [pairOf()]);
  await old.reading();
  const next = await readerOn(db, [pairOf()], { slot: old.slot });
  old.ingestor.close(new Unavailable('superseded', 'another release serves'));
  await insertPairs(db, ['x']);
  await until(() => old.trouble() !== null);
  await sleep(1_500); // after which it would have tried again
  const tried = /^(?:reading changes|another process)/;
  expect(old.lines.filter(({ message }) => tried.test(message))).toHaveLength(1);
  await next.reading();
  await until(async () => (await doneKeys(db)).length === 1);
});

test('two processes that start at once read the rows once', async ({ db }) => {
  await db.query(ITEM);
  await insertPairs(db, ['x', 'y']);
  // A new slot waits for this transaction, so neither has read the rows before the other tries to.
  const release = await hold(db, 'select pg_current_xact_id()');
  const slot = newSlot();
  const readers = await Promise.all([
    readerOn(db, [pairOf()], { slot }),
    readerOn(db, [pairOf()], { slot }),
  ]);
  const decided = /^(?:reading the rows of tables|another process reads the slot)/;
  await until(() =>
    readers.every(({ lines }) => lines.some(({ message }) => decided.test(message))),
  );
  await release();
  await Promise.race(readers.map((each) => each.reading()));
  const snapshots = readers.flatMap(({ lines }) =>
    lines.filter(({ message }) => message === 'reading the rows of tables'),
  );
  expect(snapshots).toHaveLength(1);
});

test('a source that is not prepared is explained in a sentence', async ({ db }) => {
  await db.query(ITEM);
  const name = `r_${randomUUID().slice(0, 8)}`;
  await db.query(`create role ${name} login password 'x'`);
  const asRole = new URL(db.url);
  asRole.username = name;
  asRole.password = 'x';
  const reader = await readerOn(db, [pairOf()], { source: { ...db, url: asRole.href } });
  await until(() => reader.trouble() !== null);
  expect(reader.trouble()).toContain(
    "needs the attribute replication ('alter role … replication')",
  );
  await reader.stop();

  await db.query(
    `alter role ${name} replication; alter table item owner to ${name};
     alter table item enable row level security; alter table item force row level security;
     do $$ begin execute format('grant create on database %I to ${name}', current_database()); end $$`,
  );
  const hidden = await readerOn(db, [pairOf()], { source: { ...db, url: asRole.href } });
  await until(() => hidden.trouble() !== null);
  expect(hidden.trouble()).toContain('row-level security policy');
  await hidden.stop();
  await db.query('alter table item disable row level security; alter table item owner to postgres');

  const missing = await readerOn(db, [otherPair()]);
  await until(() => missing.trouble() !== null);
  expect(missing.trouble()).toBe('public.other does not exist in the source');
  await db.query(OTHER);
  await missing.reading();
  await missing.stop();

  await db.query('create table plain (id text, k text, kind text)');
  const plain = pairOf({
    parts: { a: { table: 'public.plain', key: 'k' }, b: { table: 'public.item', key: 'k' } },
  });
  const anonymous = await readerOn(db, [plain]);
  await until(() => anonymous.trouble() !== null);
  expect(anonymous.trouble()).toContain('public.plain has no primary key');
});

test('a source without logical decoding is explained', async ({ db }) => {
  const { source } = await ownSource(['-c', 'wal_level=replica']);
  const reader = await readerOn(db, [pairOf()], { source });
  await until(() => reader.trouble() !== null);
  expect(reader.trouble()).toBe(
    "wal_level of the source is replica, so its log does not contain the changed rows: run 'alter system set wal_level = logical' there, and restart the server",
  );
});

test('a slot that the server has given up is reported, and all rows are read again', async ({
  db,
}) => {
  const flags = ['-c', 'max_slot_wal_keep_size=1MB', '-c', 'min_wal_size=32MB'];
  const { source } = await ownSource([...flags, '-c', 'max_wal_size=32MB']);
  const reader = await readerOn(db, [pairOf()], { source });
  await reader.reading();
  await insertPairs(source, ['x']);
  await until(async () => (await doneKeys(db)).length === 1);
  await reader.stop();
  await insertPairs(source, ['y']);
  await until(async () => {
    await source.query(
      `create table if not exists filler (t text); insert into filler select repeat('x', 1000) from generate_series(1, 20000)`,
    );
    await source.query('select pg_switch_wal()');
    await source.query('checkpoint');
    const [slot] = await source.query<{ status: string }>(
      'select wal_status as status from pg_replication_slots',
    );
    return slot!.status === 'lost';
  }, 30_000);
  const next = await readerOn(db, [pairOf()], { source, slot: reader.slot });
  await until(async () => (await doneKeys(db)).length === 2);
  expect(next.lines).toContainEqual(
    expect.objectContaining({ level: 'error', why: expect.stringMatching('is lost') as string }),
  );
}, 90_000);

test('a slot from which this state knows nothing is not read', async ({ db }) => {
  await db.query(ITEM);
  const slot = newSlot();
  await db.query(`create publication ${slot} for table item`);
  await db.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  const reader = await readerOn(db, [pairOf()], { slot });
  await until(() => reader.trouble() !== null);
  expect(reader.trouble()).toContain('from which nothing is known here');
  await db.query('select pg_drop_replication_slot($1)', [slot]);
  await reader.reading();
});

test('a slot of another database is not touched', async ({ db }) => {
  await db.query(ITEM);
  const slot = newSlot();
  const admin = new pg.Client(new URL('/postgres', db.url).href);
  await admin.connect();
  onTestFinished(async () => {
    await dropSlot({ url: new URL('/postgres', db.url).href }, slot);
    await admin.end();
  });
  await admin.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  const reader = await readerOn(db, [pairOf()], { slot });
  await until(() => reader.trouble() !== null);
  expect(reader.trouble()).toMatch(/in the database postgres, .*set WAL_SLOT to another name$/);
  await reader.stop();
});
