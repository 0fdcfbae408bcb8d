import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { keyHash } from '../../src/state/key-hash.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { change } from '../support/changes.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { install } from '../support/server.ts';
import { misplaced } from '../support/state.ts';
import { databaseAt, test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

const SETS = 3_000;

// An open transaction in any database of a server keeps the older versions of rows in all of them, and without
// their room an update is not HOT (58 %). Other tests hold transactions open, so this one has its own server.
const alone = test.extend<{ own: TestDatabase }>({
  own: async ({}, use) => {
    const { server, url: serverUrl, remove } = await install();
    await server.start();
    const url = `${serverUrl}/postgres`;
    await migrate(url, []);
    const { db, close } = databaseAt(url);
    await use(db);
    await close();
    await server.stop();
    await remove();
  },
});

const lastDigits = (key: string) => keyHash(key).slice(-12);

/** Shares of the updates that were HOT, by table, of tables that are updated in place. */
async function hotShares(db: TestDatabase): Promise<Record<string, number>> {
  await sleep(1_500); // sessions send their statistics once a second
  const rows = await db.query<{ name: string; share: number; updates: string }>(
    `select relname as name, n_tup_upd as updates, n_tup_hot_upd::float8 / n_tup_upd as share
     from pg_stat_user_tables where schemaname = 'muster' and n_tup_upd > 500`,
  );
  return Object.fromEntries(rows.map(({ name, share }) => [name, share]));
}

alone(
  'under load, 95 % of the updates of sets and of their rows write no index entry',
  { timeout: 120_000 },
  async ({ own: db }) => {
    const definition = pairOf({ handle: () => sleep(20) });
    const engine = await engineOn(db, [definition], { CONCURRENCY: '64' });
    const send = async (changes: ReturnType<typeof partA>[], atOnce = 256) => {
      for (let at = 0; at < changes.length; at += atOnce) {
        await Promise.all(
          changes.slice(at, at + atOnce).map((each) => engine.ingestor.ingest(each)),
        );
      }
    };
    const keys = Array.from(
      { length: SETS },
      (_, i) => `a recording of ordinary length, number ${i}`,
    );
    await send(keys.map((key) => partA(key)));
    // Rows have room for some versions of their neighbours at a time. If all rows of a page change within
    // milliseconds, their older versions can't be removed yet (88 %, by the bench). A batch is inserted in the order
    // of the hashes, so an order by their last digits takes a few rows of every page at a time.
    const scattered = keys.toSorted((a, b) => (lastDigits(a) < lastDigits(b) ? -1 : 1));
    await send(scattered.map((key) => partB(key)));
    await until(
      async () => (await db.query(`select from muster.sets where state = 'done'`)).length === SETS,
      60_000,
    );
    const late = scattered.slice(0, 1_000);
    const updates = late.map((key, i) =>
      change('u', 1e9 + i, { id: `${key}-a`, k: key, kind: 'a' }),
    );
    await send(updates, 32);
    await engine.stop();
    const { sets, member } = await hotShares(db);
    expect(sets).toBeGreaterThan(0.95);
    expect(member).toBeGreaterThan(0.95);
    expect([await misplaced(db), await db.query('select from muster.queue')]).toEqual([[], []]);
    expect(await db.query('select from muster.lease')).toEqual([]);
  },
);

test('no index names a column that changes when a set is updated, or a row without moving', async ({
  db,
}) => {
  const indexes = await db.query<{ name: string; columns: string[]; predicate: string | null }>(
    `select c.relname as name, pg_get_expr(i.indpred, i.indrelid) as predicate,
            array(select a.attname::text from pg_attribute a where a.attrelid = i.indexrelid order by a.attnum) as columns
     from pg_index i join pg_class c on c.oid = i.indexrelid
     where i.indrelid = any ('{muster.sets,muster.member}'::regclass[]) order by 1`,
  );
  expect(indexes).toEqual([
    { name: 'member_gone', columns: ['function', 'gone_on'], predicate: '(gone_on IS NOT NULL)' },
    {
      name: 'member_pkey',
      columns: ['function', 'part_index', 'source', 'id'],
      predicate: null,
    },
    { name: 'member_set', columns: ['function', 'key_hash'], predicate: '(key_hash IS NOT NULL)' },
    { name: 'sets_pkey', columns: ['function', 'key_hash'], predicate: null },
  ]);
});
