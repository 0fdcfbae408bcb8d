import { expect } from 'vitest';
import { defineFunction } from '../../../src/function.ts';
import { queriesOf } from '../../../src/state/database/database.ts';
import {
  forgetIgnored,
  IgnoredStreams,
  purgeIgnored,
} from '../../../src/state/ingest/ignored-streams.ts';
import { listIgnored, noteOn } from '../../../src/state/queries/ignored.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change, truncate } from '../../support/changes.ts';
import { event } from '../../support/events.ts';
import { engineOn } from '../../support/engine.ts';
import { pairOf, partA } from '../../support/pair.ts';
import { databaseOn, workerOn } from '../../support/worker.ts';
import { test, type TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';

const orders = defineFunction({
  name: 'orders',
  parts: {
    paid: { event: 'com.shop.paid', key: 'subject' },
    sent: { event: 'com.shop.sent', key: 'subject' },
    packed: { table: 'public.packing', key: 'k' },
  },
  handle() {},
});

const countsOf = (db: TestDatabase) =>
  db.query<{ kind: string; name: string; count: number }>(
    'select kind, name, count::int as count from muster.ignored order by kind, name',
  );
const listOf = async (db: TestDatabase) => {
  const database = databaseOn(db);
  try {
    return await listIgnored(queriesOf(database.control));
  } finally {
    await database.close();
  }
};

test('types and tables that no function names are counted over all workers', async ({ db }) => {
  const [one, two] = [await workerOn(db, [orders]), await workerOn(db, [pairOf()])];
  for (const worker of [one, two]) {
    await worker.ingestor.ingest(event('com.shop.payed', {}, { source: '/shop' }));
    await worker.ingestor.ingest(change('c', 1, {}, { stream: 'public.packings' }));
    await worker.ingestor.ingest(truncate(2, { table: 'public.packings' }));
    await worker.ingestor.ignored.write(worker.database);
    await worker.ingestor.ignored.write(worker.database); // nothing is left to be added
  }
  expect(await countsOf(db)).toEqual([
    { kind: 'event', name: 'com.shop.payed', count: 2 },
    { kind: 'table', name: 'public.packings', count: 4 },
  ]);
  expect(await db.query('select source, functions from muster.ignored order by kind')).toEqual([
    { source: '/shop', functions: ['orders', 'pair'] },
    { source: '/test', functions: ['orders', 'pair'] },
  ]);
});

test('what a function names is not ignored, even if its filter refuses it', async ({ db }) => {
  const { ingestor, database } = await workerOn(db, [orders, pairOf()]);
  await ingestor.ingest(event('com.shop.paid', {}, { subject: 'x' }));
  await ingestor.ingest(partA());
  await ingestor.ingest(change('c', 10_000, { id: 1, k: 'x', kind: 'none' }));
  await ingestor.ignored.write(database);
  expect(await countsOf(db)).toEqual([]);
});

test('neither the memory of a worker nor the table grows with the number of types', async ({
  db,
}) => {
  const database = databaseOn(db);
  const workers = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => new IgnoredStreams([name]));
  const alone = new IgnoredStreams(['alone']);
  for (let i = 0; i < 1_000; i++) alone.add(event(`type.${i}`, {}));
  await alone.write(database);
  expect(await countsOf(db)).toHaveLength(51);
  let sent = 1_000;
  for (let round = 0; round < 2; round++) {
    for (const [w, worker] of workers.entries()) {
      for (let i = 0; i < 1_000; i++, sent++) worker.add(event(`type.${round}.${w}.${i}`, {}));
    }
    await Promise.all(workers.map((each) => each.write(database)));
  }
  const counts = await countsOf(db);
  expect(counts).toHaveLength(201);
  expect(counts.find(({ kind }) => kind === 'other')).toMatchObject({ name: '' });
  expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(sent);
  // what has a row already is still counted by its name
  const { name } = counts.find(({ kind }) => kind === 'event')!;
  workers[0]!.add(event(name, {}));
  await workers[0]!.write(database);
  expect((await countsOf(db)).find((each) => each.name === name)).toMatchObject({ count: 2 });
  await database.close();
});

test('workers that write at once do not pass the bound of the table together', async ({ db }) => {
  await db.query(
    `insert into muster.ignored (kind, name, count, functions)
     select 'event', 'type.' || n, 1, '{}' from generate_series(1, 199) n`,
  );
  const [one, two] = [await workerOn(db, [orders]), await workerOn(db, [orders])];
  await one.ingestor.ingest(event('com.one', {}));
  await two.ingestor.ingest(event('com.two', {}));
  // The first has seen 199 names when it waits to insert its own.
  const release = await hold(
    db,
    `insert into muster.ignored (kind, name, count, functions) values ('event', 'com.one', 1, '{}')`,
  );
  const first = one.ingestor.ignored.write(one.database);
  await blocked(db);
  const second = two.ingestor.ignored.write(two.database);
  await Promise.race([second, blocked(db, 2)]);
  await release('rollback');
  await Promise.all([first, second]);
  const counts = await countsOf(db);
  expect(counts.filter(({ kind }) => kind === 'event')).toHaveLength(200);
  expect(counts).toContainEqual({ kind: 'event', name: 'com.one', count: 1 });
  expect(counts).toContainEqual({ kind: 'other', name: '', count: 1 });
});

test('a name that is too long, or that PostgreSQL can not store, is counted with the others', async ({
  db,
}) => {
  const { ingestor, database } = await workerOn(db, [orders]);
  for (const stream of ['public.a\0b', 'public.\ud800', `public.${'x'.repeat(200)}`]) {
    await ingestor.ingest(change('c', 1, {}, { stream }));
  }
  await ingestor.ingest(event('type', {}, { source: `/${'s'.repeat(500)}` }));
  await ingestor.ignored.write(database);
  expect(await countsOf(db)).toEqual([
    { kind: 'event', name: 'type', count: 1 },
    { kind: 'other', name: '', count: 3 },
  ]);
  expect(
    await db.query(`select length(source) as length from muster.ignored where kind = 'event'`),
  ).toEqual([{ length: 200 }]);
});

test('counts that could not be written are written the next time', async ({ db }) => {
  const { ingestor, database } = await workerOn(db, [orders]);
  await ingestor.ingest(event('com.shop.payed', {}));
  await db.query('alter table muster.ignored rename to away');
  await expect(ingestor.ignored.write(database)).rejects.toThrow('muster.ignored');
  await db.query('alter table muster.away rename to ignored');
  await ingestor.ingest(event('com.shop.payed', {}));
  await ingestor.ignored.write(database);
  expect(await countsOf(db)).toEqual([{ kind: 'event', name: 'com.shop.payed', count: 2 }]);
});

test('a process writes them within seconds, and what is left when it stops', async ({ db }) => {
  const engine = await engineOn(db, [orders]);
  await engine.ingestor.ingest(event('com.shop.payed', {}));
  await until(async () => (await countsOf(db)).length === 1);
  await engine.ingestor.ingest(event('com.shop.payed', {}));
  await engine.stop();
  expect(await countsOf(db)).toEqual([{ kind: 'event', name: 'com.shop.payed', count: 2 }]);
  expect(engine.lines.filter(({ message }) => message.includes('ignored'))).toEqual([]);
});

test('what has not arrived for a week is purged', async ({ db }) => {
  const { database } = await workerOn(db, [orders]);
  await db.query(
    `insert into muster.ignored (kind, name, count, last_at, functions)
     select 'event', 'type.' || n, 1, now() - n * interval '1 day', '{}' from generate_series(5, 9) n`,
  );
  await purgeIgnored(database, 8 * 86_400);
  expect((await countsOf(db)).map(({ name }) => name)).toEqual(['type.5', 'type.6', 'type.7']);
  const engine = await engineOn(db, [orders]);
  await until(async () => (await countsOf(db)).length === 2);
  await engine.stop();
});

test('the list names what was probably meant, and what is named by now', async ({ db }) => {
  const { ingestor, database } = await workerOn(db, [orders]);
  for (const type of ['com.shop.payed', 'sent', 'com.other', 'com.shop.lost']) {
    await ingestor.ingest(event(type, {}));
  }
  await ingestor.ingest(event('com.shop.sent', {}, { subject: 'x' }));
  await ingestor.ignored.write(database);
  const lost = { lost: { event: 'com.shop.lost', key: 'subject' } } as const;
  await workerOn(db, [defineFunction({ name: 'search', parts: lost, handle() {} })]);
  const list = await listOf(db);
  expect(list.map(({ name, meant }) => [name, meant?.name, meant?.hasArrived])).toEqual([
    ['com.shop.payed', 'com.shop.paid', false],
    ['sent', 'com.shop.sent', true],
    ['com.other', undefined, undefined],
    ['com.shop.lost', undefined, undefined],
  ]);
  expect(list.map(noteOn)).toEqual([
    'did you mean com.shop.paid, which orders names?',
    'did you mean com.shop.sent, which orders names?',
    '',
    'search now names it; what was ignored came before, or to workers of other functions',
  ]);
  expect(await forgetIgnored(database, 'sent')).toEqual(['sent']);
  expect(await forgetIgnored(database, null)).toHaveLength(3);
  expect(await listOf(db)).toEqual([]);
});
