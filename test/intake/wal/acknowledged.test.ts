import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import { parseLsn } from '../../../src/intake/wal/lsn.ts';
import { test, type TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import { followerOn, newSlot, type TestFollower } from '../../support/wal.ts';

const ITEM = 'create table item (id int primary key generated always as identity, label text)';
const ROW = 'insert into item (label) values ($1)';

const labels = ({ changes }: TestFollower) =>
  changes.map((change) => change.kind === 'row' && change.row['label']);
const ops = ({ changes }: TestFollower) =>
  changes.map((change) => change.kind === 'row' && change.op);

/** Returns the position that is acknowledged to a slot. */
async function acknowledged(db: TestDatabase, slot: string): Promise<bigint> {
  const [row] = await db.query<{ at: string }>(
    'select confirmed_flush_lsn as at from pg_replication_slots where slot_name = $1',
    [slot],
  );
  return parseLsn(row!.at);
}

const follow = (db: TestDatabase, slot: string) => followerOn(db, 'public.item', slot);

/** A follower that has read three changes, none of which is delivered. */
async function followedThree(db: TestDatabase) {
  await db.query(ITEM);
  const slot = newSlot();
  const follower = follow(db, slot);
  await follower.reading();
  follower.hold();
  for (const label of ['a', 'b', 'c']) await db.query(ROW, [label]);
  await until(() => follower.changes.length === 3);
  return { slot, follower };
}

test('the slot is not acknowledged past an undelivered change', async ({ db }) => {
  const { slot, follower } = await followedThree(db);
  follower.release(1);
  follower.release(2);
  await follower.stop(); // acknowledges everything it can
  expect(await acknowledged(db, slot)).toBeLessThanOrEqual(follower.changes[0]!.lsn!);

  const again = follow(db, slot);
  await until(() => again.changes.length === 3);
  expect(labels(again)).toEqual(['a', 'b', 'c']);
});

test('once all changes are delivered the slot is acknowledged, and nothing is sent again', async ({
  db,
}) => {
  const { slot, follower } = await followedThree(db);
  for (const index of [2, 1, 0]) follower.release(index);
  const last = follower.changes[2]!.lsn!;
  await until(async () => (await acknowledged(db, slot)) > last);
  await follower.stop();

  const again = follow(db, slot);
  await db.query(ROW, ['d']);
  await until(() => again.changes.length > 0);
  expect(labels(again)).toEqual(['d']);
});

test('a transaction that commits right after an acknowledged one is sent again', async ({ db }) => {
  await db.query(ITEM);
  const slot = newSlot();
  const follower = follow(db, slot);
  await follower.reading();
  follower.hold();
  const clients = [new pg.Client(db.url), new pg.Client(db.url)];
  onTestFinished(async () => void (await Promise.all(clients.map((each) => each.end()))));
  for (const [i, client] of clients.entries()) {
    await client.connect();
    await client.query('begin');
    await client.query(ROW, [`transaction ${i}`]);
  }
  await Promise.all(clients.map((each) => each.query('commit')));
  await until(() => follower.changes.length === 2);
  const before = await acknowledged(db, slot);
  follower.release(0);
  await until(async () => (await acknowledged(db, slot)) > before);
  await follower.stop();

  const again = follow(db, slot);
  await until(() => again.changes.length > 0);
  expect(labels(again)).toEqual(labels(follower).slice(1));
});

test('an interrupted snapshot is repeated completely', async ({ db }) => {
  await db.query(ITEM);
  for (const label of ['a', 'b', 'c']) await db.query(ROW, [label]);
  const slot = newSlot();
  const broken = followerOn(db, 'public.item', slot, ({ origin }) => {
    if (!Buffer.from(origin.body).includes('"label":"a"')) throw new Error('not delivered');
  });
  await until(() => broken.said.includes('not delivered'), 25_000);
  await broken.stop();
  expect(await db.query('select from pg_replication_slots where slot_name = $1', [slot])).toEqual(
    [],
  );

  const again = follow(db, slot);
  await again.reading();
  await db.query(ROW, ['d']);
  await until(() => again.changes.length === 4);
  expect(ops(again)).toEqual(['r', 'r', 'r', 'c']);
});

test('a broken connection is reestablished, and nothing is lost', async ({ db }) => {
  await db.query(ITEM);
  const slot = newSlot();
  const follower = follow(db, slot);
  await follower.reading();
  await db.query(ROW, ['before']);
  await until(() => follower.changes.length === 1);
  await db.query(
    'select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1',
    [slot],
  );
  await db.query(ROW, ['after']);
  await until(() => labels(follower).includes('after'));
  expect(follower.said).toEqual([expect.stringContaining('terminating connection')]);
});
