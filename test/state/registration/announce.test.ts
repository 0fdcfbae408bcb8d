import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { announce, isToRelieve } from '../../../src/state/registration/announce.ts';
import { specify } from '../../../src/definitions/specification.ts';
import { register, Superseded } from '../../../src/state/registration/register.ts';
import { pairOf } from '../../support/pair.ts';
import { databaseOn, workerOn } from '../../support/worker.ts';
import { type TestDatabase, test } from '../../support/test.ts';

const both = specify(pairOf());
const either = specify(pairOf({ complete: { atLeast: 1, of: ['a', 'b'] } }));

const worker = (db: TestDatabase, seconds: number) =>
  db.query(
    `insert into muster.worker (id, host, lease_until, serves)
     select $1, 'a', now() + make_interval(secs => $2), coalesce(jsonb_object_agg(id, registration), '{}') from muster.function`,
    [randomUUID(), seconds],
  );
const functions = (db: TestDatabase) =>
  db.query<{ generation: number; announced: boolean }>(
    'select generation, announced is not null as announced from muster.function',
  );

test('a definition is announced while a worker serves another one', async ({ db }) => {
  const { database } = await workerOn(db, [pairOf()]);
  await db.query(`update muster.worker set lease_until = now() - interval '1 second'`);
  expect(await announce(database, either)).toBe(false);
  await worker(db, 60);
  expect(await announce(database, both)).toBe(false); // it is the newest
  expect(await announce(database, either)).toBe(true);
  expect(await functions(db)).toEqual([{ generation: 1, announced: true }]);
  expect(await isToRelieve(database, [either])).toBe(true);
  await register(database, either);
  expect(await functions(db)).toEqual([{ generation: 2, announced: false }]);
});

test('a function that no worker has served yet is not announced but registered', async ({ db }) => {
  const database = databaseOn(db);
  await worker(db, 60);
  expect(await announce(database, both)).toBe(false);
  expect(await db.query('select from muster.function')).toEqual([]);
  await database.close();
});

test('a superseded definition becomes the newest again once it is announced, and only then', async ({
  db,
}) => {
  const { database } = await workerOn(db, [pairOf()]);
  await register(database, either);
  await worker(db, 60);
  await expect(isToRelieve(database, [both])).rejects.toThrow(Superseded);
  await expect(register(database, both)).rejects.toThrow(Superseded);
  expect(await announce(database, both)).toBe(true);
  expect(await isToRelieve(database, [both])).toBe(true);
  expect((await register(database, both)).generation).toBe(3);
  await expect(register(database, either)).rejects.toThrow(Superseded);
});

test('migrating with the current release withdraws an announced definition', async ({ db }) => {
  const { database } = await workerOn(db, [pairOf()]);
  await worker(db, 60);
  expect(await announce(database, either)).toBe(true);
  await register(database, both, true);
  expect(await functions(db)).toEqual([{ generation: 1, announced: false }]);
});

test('a release that was withdrawn before it became ready does not take over when it starts late', async ({
  db,
}) => {
  const { database } = await workerOn(db, [pairOf()]);
  await worker(db, 60);
  expect(await announce(database, either)).toBe(true);
  await register(database, both, true);
  await expect(isToRelieve(database, [either])).rejects.toThrow(Superseded);
  await expect(register(database, either)).rejects.toThrow(Superseded);
  expect(await announce(database, either)).toBe(true);
  expect((await register(database, either)).generation).toBe(2);
});

test('a worker of another function is no reason to announce', async ({ db }) => {
  const { database } = await workerOn(db, [pairOf()]);
  await worker(db, 60);
  await register(database, specify(pairOf({ name: 'other' })));
  const changed = specify(pairOf({ name: 'other', complete: { atLeast: 1, of: ['a', 'b'] } }));
  await db.query('delete from muster.worker where not serves ? $1', ['1']);
  expect(await announce(database, changed)).toBe(false);
});
