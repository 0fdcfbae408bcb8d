import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { all, defineFunction } from '../../src/function.ts';
import { change } from '../support/changes.ts';
import { commitsWait } from '../support/commits-wait.ts';
import { pairOf } from '../support/pair.ts';
import { install } from '../support/server.ts';
import { miscounted, runsOf, setsOf } from '../support/state.ts';
import { databaseAt, test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { workerOn, type TestWorker } from '../support/worker.ts';
import { itemsOf, past, reconciled } from './reconciled.ts';

/** A row of each kind of difference, and one that is equal. */
async function differing(db: TestDatabase): Promise<TestWorker> {
  await itemsOf(
    db,
    `(1, 'x', 'a', ''), (2, 'x', 'b', ''), (3, 'y', 'a', ''), (4, 'z', 'none', '')`,
  );
  const worker = await workerOn(db, [pairOf()]);
  for (const arrived of [
    past('c', 1, { id: 1, k: 'x', kind: 'a' }),
    past('c', 3, { id: 3, k: 'w', kind: 'a' }), // its move to y was missed
    past('c', 4, { id: 4, k: 'z', kind: 'b' }), // as was its change to another kind
    past('c', 5, { id: 5, k: 'v', kind: 'b' }), // and this delete, and the insert of row 2
  ]) {
    await worker.ingestor.ingest(arrived);
  }
  return worker;
}

const DIFFERENCES = [
  { part: 'a', id: '3', kind: 'moved', key: 'y', heldKey: 'w' },
  { part: 'b', id: '2', kind: 'missing', key: 'x', heldKey: null },
  { part: 'b', id: '4', kind: 'left', key: null, heldKey: 'z' },
  { part: 'b', id: '5', kind: 'gone', key: null, heldKey: 'v' },
];

test('each kind of difference is found, and nothing is changed', async ({ db }) => {
  const worker = await differing(db);
  const before = await setsOf(db);
  expect(await reconciled(db, worker)).toEqual({
    compared: { a: 4, b: 4 },
    notCompared: {},
    withoutTable: {},
    differences: DIFFERENCES,
    forgotten: 0,
    repaired: 0,
    notRepaired: [],
  });
  expect(await setsOf(db)).toEqual(before);
});

test('after a repair the sets are those of the table, and a set that became complete is due once', async ({
  db,
}) => {
  const worker = await differing(db);
  expect(await reconciled(db, worker, { repairs: true })).toMatchObject({
    differences: DIFFERENCES,
    repaired: 4,
    notRepaired: [],
  });
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([
    { key: 'x', counts: [1, 1], fresh: 2 },
    { key: 'y', counts: [1, 0], fresh: 1 },
  ]);
  expect(await runsOf(db)).toMatchObject([{ key: 'x', revision: 1, state: 'ready' }]);
  expect(await reconciled(db, worker, { repairs: true })).toMatchObject({ differences: [] });
  // the missed changes arrive after all, and those that were there again
  await worker.ingestor.ingest(past('c', 2, { id: 2, k: 'x', kind: 'b' }));
  await worker.ingestor.ingest(past('d', 6, { id: 5 }));
  await worker.ingestor.ingest(past('c', 3, { id: 3, k: 'w', kind: 'a' }));
  expect(await reconciled(db, worker)).toMatchObject({ differences: [] });
  expect(await runsOf(db)).toMatchObject([{ key: 'x', revision: 1, state: 'ready' }]);
  expect(await miscounted(db)).toEqual([]);
});

test('a change that arrives while it waits is no difference', async ({ db }) => {
  await itemsOf(db, `(1, 'x', 'a', '')`);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(past('c', 1, { id: 2, k: 'x', kind: 'b' }));
  let arriving: Promise<unknown> | undefined;
  const arrive = async () => {
    await sleep(200);
    await worker.ingestor.ingest(change('c', 2, { id: 1, k: 'x', kind: 'a' }));
    await worker.ingestor.ingest(change('d', 3, { id: 2 }));
  };
  const say = (line: string) => {
    if (line.includes('differ')) arriving = arrive();
  };
  const found = await reconciled(db, worker, { repairs: true, waitMs: 2_500, say });
  await arriving;
  expect(found.differences).toEqual([]);
});

test('a change of the last minute is not undone', async ({ db }) => {
  await itemsOf(db, `(1, 'x', 'a', '')`);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await worker.ingestor.ingest(change('c', 2, { id: 2, k: 'x', kind: 'b' })); // its delete is under way
  expect(await reconciled(db, worker, { repairs: true })).toMatchObject({
    differences: [{ id: '2', kind: 'gone' }],
    repaired: 0,
    notRepaired: [
      'changes of the last minute are newer than what was read, and others of their rows may be under way: try again',
    ],
  });
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 1], fresh: 2 }]);
});

test('keys and ids of several columns, and beyond 2^53, are compared and corrected, page by page', async ({
  db,
}) => {
  await db.query(
    `create table wide (a bigint, b uuid, k1 bigint, k2 text, amount text, primary key (b, a));
     insert into wide select 9007199254740993 + i, gen_random_uuid(), 9007199254740993, 'é' || i % 7, 'n' from generate_series(1, 2500) i`,
  );
  const wide = defineFunction({
    name: 'wide',
    parts: {
      rows: { table: 'public.wide', id: ['a', 'b'], key: ['k1', 'k2'], columns: ['amount'] },
    },
    complete: all('rows'),
    history: 'run',
    handle() {},
  });
  const worker = await workerOn(db, [wide]);
  await worker.positions.register('test');
  expect(await reconciled(db, worker, { repairs: true })).toMatchObject({
    compared: { rows: 2500 },
    repaired: 2500,
    notRepaired: [],
  });
  expect(await db.query('select key, counts from muster.sets order by key limit 1')).toEqual([
    { key: '["9007199254740993","é0"]', counts: [357] },
  ]);
  await db.query('delete from wide where k2 = $1', ['é0']);
  await db.query(`update muster.member set at = at - 120000`);
  expect(await reconciled(db, worker, { repairs: true })).toMatchObject({
    repaired: 357,
    notRepaired: [],
  });
  expect(await reconciled(db, worker)).toMatchObject({ differences: [] });
});

test('parts that no table can prove are named with the reason', async ({ db }) => {
  await db.query(
    `create table item (id bigint primary key, k numeric); create table log (k text, note text); alter table log replica identity full;
     create table bare (id int, k text)`,
  );
  const mixed = defineFunction({
    name: 'mixed',
    parts: {
      decimal: { table: 'public.item', key: 'k' },
      keyless: { table: 'public.log', key: 'k', id: ['k', 'note'] },
      bare: { table: 'public.bare', key: 'k' },
      absent: { table: 'public.absent', key: 'k' },
      approval: { event: 'com.example.approved', key: 'subject' },
    },
    handle() {},
  });
  const worker = await workerOn(db, [mixed]);
  await worker.positions.register('test');
  expect(await reconciled(db, worker)).toMatchObject({
    compared: {},
    notCompared: {
      decimal:
        'column k is of type numeric, whose values a connector sends in the form that its settings say',
      keyless: 'its table has no primary key',
      bare: expect.stringContaining('public.bare has no primary key, by which') as string,
      absent: 'public.absent does not exist in the source',
    },
    withoutTable: { approval: 'it reads the event com.example.approved, which no table holds' },
  });
});

test('a table of which little is held is believed only by force', async ({ db }) => {
  await itemsOf(db, `(1, 'x', 'a', '')`);
  const worker = await workerOn(db, [pairOf()]);
  for (let id = 100; id < 110; id++) {
    await worker.ingestor.ingest(past('c', id, { id, k: `k${id}`, kind: 'a' }));
  }
  const reason =
    'few rows of part a are held as its table has them: does the connector change keys or values, or is this not the database that it reads? If so much is lost, use --force';
  for (const repairs of [false, true]) {
    expect(await reconciled(db, worker, { repairs })).toMatchObject({
      repaired: 0,
      notRepaired: [reason],
    });
  }
  expect((await setsOf(db)).length).toBe(10);
  expect(await reconciled(db, worker, { repairs: true, trusts: true })).toMatchObject({
    repaired: 11,
    notRepaired: [],
  });
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([
    { key: 'x', counts: [1, 0], fresh: 1 },
  ]);
});

test('a log that ends below what was ingested is refused, and so is a connector that is not clear', async ({
  db,
}) => {
  await itemsOf(db, `(1, 'x', 'a', '')`);
  const worker = await workerOn(db, [pairOf()]);
  await expect(reconciled(db, worker)).rejects.toThrow(
    'nothing has arrived from any connector yet',
  );
  const row = { id: 1, k: 'x', kind: 'a' };
  await worker.ingestor.ingest(past('c', 1, row));
  await worker.ingestor.ingest(past('c', 2 ** 50, row, { source: 'south' }));
  await expect(reconciled(db, worker)).rejects.toThrow(
    'several connectors are known (south, test): name that of the source with --connector',
  );
  await expect(reconciled(db, worker, { connector: 'tset' })).rejects.toThrow(
    "no connector 'tset' is known, only south, test",
  );
  await expect(reconciled(db, worker, { connector: 'south' })).rejects.toThrow(
    /the log of the source ends at .*, but 40000\/0 was ingested from south: this is another server/,
  );
  expect(await reconciled(db, worker, { connector: 'test' })).toMatchObject({ differences: [] });
});

test('a row that waits for a synchronous standby can not be read, and is not removed', async ({
  db,
}) => {
  const { server, url, remove } = await install();
  await server.start();
  const { db: source, close } = databaseAt(`${url}/postgres`);
  await itemsOf(source, `(1, 'x', 'a', '')`);
  await source.query(`create role reader login password 'secret' in role pg_read_all_data`);
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(past('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await source.query(`alter system set synchronous_standby_names = 'absent'`);
  await source.query('select pg_reload_conf()');
  await commitsWait(source.url);
  const inserting = source.query(`insert into item values (2, 'x', 'b', '')`);
  const waits = `select from pg_stat_activity where wait_event = 'SyncRep'`;
  await until(async () => (await source.query(waits)).length === 1);
  // its change has arrived: the log has it
  await worker.ingestor.ingest(past('c', 2, { id: 2, k: 'x', kind: 'b' }));
  const gone = { differences: [{ id: '2', kind: 'gone' }], repaired: 0 };
  expect(
    await reconciled(db, worker, { url: source.url, repairs: true, marginMs: 0 }),
  ).toMatchObject({
    ...gone,
    notRepaired: [
      'transactions of the source wait for a synchronous standby, so that their rows can not be read: try again once it answers',
    ],
  });
  const reader = source.url.replace(/\/\/[^@]*@/, '//reader:secret@');
  expect(await reconciled(db, worker, { url: reader, repairs: true, marginMs: 0 })).toMatchObject({
    ...gone,
    notRepaired: [
      'the source has synchronous standbys, and its login may not see whether transactions wait for them: grant pg_read_all_stats to it',
    ],
  });
  await source.query('alter system reset synchronous_standby_names');
  await source.query('select pg_reload_conf()');
  await inserting;
  expect(await reconciled(db, worker, { url: source.url })).toMatchObject({ differences: [] });
  await close();
  await server.stop();
  await remove();
}, 60_000);
