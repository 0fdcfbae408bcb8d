import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import {
  bloat,
  deadRows,
  snapshots,
  updates,
  walSettings,
} from '../../src/doctor/database/storage.ts';
import { session } from '../../src/doctor/database/session.ts';
import type { StateContext } from '../../src/doctor/database/server.ts';
import { freshDatabase } from '../support/fresh-database.ts';
import { install } from '../support/server.ts';
import { databaseAt, test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { inspectorOf, reportOf, stateOf } from './examination.ts';

/** The state database, whose statistics are these. */
async function withStatistics(context: StateContext, rows: object[]): Promise<StateContext> {
  const inspector = { ...context.inspector, query: async <R>() => rows as R[] };
  return { ...context, inspector };
}

/** As if every open transaction had begun an hour ago. */
async function later(db: TestDatabase) {
  const inspector = await inspectorOf(db);
  return {
    ...inspector,
    query: <R extends object>(text: string, values: readonly unknown[] = []) =>
      inspector.query<R>(
        text
          .replaceAll('now() - make_interval', `now() + interval '1 hour' - make_interval`)
          .replaceAll('now() - xact_start', `now() + interval '1 hour' - xact_start`)
          .replaceAll('now() - prepared', `now() + interval '1 hour' - prepared`),
        values,
      ),
  };
}

test('reports the share of updates in place, which is a problem if it is low', async ({ db }) => {
  const context = await stateOf(db);
  expect(await reportOf(updates, context)).toEqual(['✓ too few updates to tell']);
  const statistics = [
    { name: 'sets', updates: 2000, share: 0.5 },
    { name: 'member', updates: 5000, share: 0.991 },
  ];
  expect(await reportOf(updates, await withStatistics(context, statistics))).toEqual([
    '✗ 50 % of 2000 updates of muster.sets wrote no index entry',
    '✓ 99 % of 5000 updates of muster.member wrote no index entry',
  ]);
});

test('the remedy for updates that are not in place lists the index that causes it', async ({
  db,
}) => {
  const context = await stateOf(db);
  await db.query('create index by_state on muster.sets (state)');
  const low = await withStatistics(context, [{ name: 'sets', updates: 2000, share: 0.5 }]);
  const [finding] = await updates.run(low);
  const names = await db.query(finding!.remedy!.split(';')[0]!);
  expect(names).toContainEqual({ indexrelid: 'muster.by_state' });
});

test('reports tables with more dead rows than live ones', async ({ db }) => {
  const context = await stateOf(db);
  expect(await reportOf(deadRows, context)).toEqual(['✓ no table has more dead than live rows']);
  await db.query('alter table muster.queue set (autovacuum_enabled = false)');
  await db.query(
    `insert into muster.queue select 1, now(), i, muster.key_hash(i::text), false from generate_series(1, 110000) i`,
  );
  await db.query('delete from muster.queue');
  const report = await until(async () => {
    const lines = await reportOf(deadRows, context);
    return lines[0]!.startsWith('✗') && lines;
  });
  expect(report).toEqual(['✗ muster.queue has 110000 dead rows and 0 live; never vacuumed']);
  const [finding] = await deadRows.run(context);
  await db.query(finding!.remedy!.split(';')[0]!);
  await until(async () => (await reportOf(deadRows, context))[0]!.startsWith('✓'));
});

test('reports tables and indexes that are almost empty, and its remedies shrink them', async ({
  db,
}) => {
  const context = await stateOf(db);
  expect(await reportOf(bloat, context)).toEqual(['✓ none to speak of']);
  await db.query('alter table muster.parked set (autovacuum_enabled = false)');
  await db.query('alter table muster.parked alter column digest set storage plain');
  await db.query(
    `insert into muster.parked (digest, reason, detail, attributes, body)
     select (select string_agg(sha512((i || '/' || n)::bytea), null) from generate_series(1, 16) n), '', '', '{}', ''
     from generate_series(1, 64000) i`,
  );
  // a full table is fine, even after a crash has taken its statistics
  await db.query('analyze muster.parked');
  await db.query('select pg_stat_reset()');
  expect(await reportOf(bloat, context)).toEqual(['✓ none to speak of']);
  await db.query('delete from muster.parked where id < (select max(id) from muster.parked)');
  await db.query('analyze muster.parked');
  const report = await until(async () => {
    const lines = await reportOf(bloat, context);
    return lines[0]!.startsWith('✗') && lines;
  });
  expect(report).toEqual([
    expect.stringMatching(
      /^✗ muster\.parked takes \d+ MiB for 1 row: most of its pages are empty$/,
    ),
    expect.stringMatching(/^✗ muster\.parked_digest_key takes \d+ MiB for 1 row: /),
  ]);
  const findings = await bloat.run(context);
  for (const { remedy } of findings.toReversed()) await db.query(remedy!.split(';')[0]!);
  expect(await reportOf(bloat, context)).toEqual(['✓ none to speak of']);
  expect(await db.query('select from muster.parked')).toHaveLength(1);
});

test('names prepared transactions, and offers to roll back those of its own database', async () => {
  const { server, url, remove } = await install(['-c', 'max_prepared_transactions=2']);
  await server.start();
  const [own, other] = ['postgres', 'other'].map((name) => databaseAt(`${url}/${name}`)) as [
    ReturnType<typeof databaseAt>,
    ReturnType<typeof databaseAt>,
  ];
  onTestFinished(async () => {
    await Promise.all([own.close(), other.close()]);
    await server.stop();
    await remove();
  });
  await own.db.query('create database other');
  for (const [{ db }, gid] of [
    [own, "it's"],
    [other, 'theirs'],
  ] as const) {
    const name = gid.replaceAll("'", "''");
    await db.query(`begin; create table written (id int); prepare transaction '${name}'`);
  }
  const context = { ...(await stateOf(own.db)), inspector: await later(own.db) };
  const findings = (await snapshots.run(context)).filter(({ message }) =>
    message.startsWith('a prepared'),
  );
  expect(findings.map(({ message }) => message)).toEqual([
    "a prepared transaction of database postgres has been open for 60 min: dead rows can't be removed",
    "a prepared transaction of database other has been open for 60 min: dead rows can't be removed",
  ]);
  for (const { remedy } of findings) await own.db.query(remedy!.split(';')[0]!);
  expect(await own.db.query('select gid from pg_prepared_xacts')).toEqual([{ gid: 'theirs' }]);
});

test('names transactions of other databases, and does not offer to end them', async ({ db }) => {
  const other = new pg.Client((await freshDatabase()).url);
  onTestFinished(() => other.end());
  await other.connect();
  await other.query('begin');
  await other.query('create table written (id int)');
  const { rows } = await other.query<{ pid: number; name: string }>(
    'select pg_backend_pid() as pid, current_database() as name',
  );
  const [{ pid, name }] = rows as [{ pid: number; name: string }];
  const found = (
    await snapshots.run({ ...(await stateOf(db)), inspector: await later(db) })
  ).filter(({ message }) => message.includes(`process ${pid},`));
  expect(found).toEqual([
    expect.objectContaining({
      message: expect.stringContaining(`open for 60 min in database ${name}: `),
      remedy: expect.stringMatching(/^select \* from pg_stat_activity where pid = \d+;/),
    }),
  ]);
});

test('reports a session that holds a snapshot, and its remedy ends that session alone', async ({
  db,
}) => {
  const context = await stateOf(db);
  expect(await reportOf(snapshots, context)).toEqual(['✓ none is older than 10 min']);
  const holder = new pg.Client({ connectionString: db.url, application_name: 'a report' });
  const ended = new Promise((resolve) => {
    holder.on('error', resolve);
  });
  await holder.connect();
  onTestFinished(() => holder.end().catch(() => {}));
  await holder.query('begin isolation level repeatable read');
  const { rows } = await holder.query<{ pid: number }>(
    'select pg_backend_pid() as pid from muster.sets right join (select 1) one on true limit 1',
  );
  const findings = await snapshots.run({ ...context, inspector: await later(db) });
  const who = `a report (process ${rows[0]!.pid}, idle in transaction)`;
  const finding = findings.find(({ message }) => message.startsWith(who));
  expect(finding).toMatchObject({ state: 'problem' });
  await db.query(finding!.remedy!.split(';')[0]!);
  await ended;
  expect(await reportOf(snapshots, context)).toEqual(['✓ none is older than 10 min']);
});

test('hints at settings of the log that cost nothing to try', async ({ db }) => {
  const context = await stateOf(db);
  expect((await reportOf(walSettings, context))[0]).toMatch(
    /^✓ worth a try: wal_compression = lz4 .*; max_wal_size = 4GB .*\(it is 1024 MB\)$/,
  );
  const set = await withStatistics(context, [{ compression: 'lz4', size: 8192 }]);
  expect(await reportOf(walSettings, set)).toEqual(['✓ compressed, with room']);
});

test('reports that there is no pooler in between', async ({ db }) => {
  expect((await reportOf(session, await stateOf(db)))[0]).toMatch(
    /in effect, no pooler in between$/,
  );
});
