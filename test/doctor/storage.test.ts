import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import { deadRows, snapshots, updates, walSettings } from '../../src/doctor/database/storage.ts';
import { session } from '../../src/doctor/database/session.ts';
import type { StateContext } from '../../src/doctor/database/server.ts';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';
import { inspectorOf, reportOf, stateOf } from './examination.ts';

/** The state database, whose statistics are these. */
async function withStatistics(context: StateContext, rows: object[]): Promise<StateContext> {
  const inspector = { ...context.inspector, query: async <R>() => rows as R[] };
  return { ...context, inspector };
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
  // as if it had begun long ago
  const inspector = await inspectorOf(db);
  const later = {
    ...inspector,
    query: <R extends object>(text: string, values: readonly unknown[] = []) =>
      inspector.query<R>(
        text.replaceAll('now() - make_interval', `now() + interval '1 hour' - make_interval`),
        values,
      ),
  };
  const [finding] = await snapshots.run({ ...context, inspector: later });
  expect(finding).toMatchObject({
    state: 'problem',
    message: expect.stringContaining(`a report (process ${rows[0]!.pid}, idle in transaction)`),
  });
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
