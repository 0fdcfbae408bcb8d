import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished } from 'vitest';
import { SourceFollower } from '../../src/local/dev-server/source-follower.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

interface Posted {
  readonly op: string;
  readonly after: { readonly id: number } | null;
}

/** Collects what is posted; answers with `status`. */
async function sink(): Promise<{
  url: string;
  posted: Posted[];
  answer: { status: number; refused: number };
}> {
  const posted: Posted[] = [];
  const answer = { status: 204, refused: 0 };
  const server: Server = createServer(async (request, response) => {
    const body = await text(request);
    if (answer.status === 204) posted.push(JSON.parse(body) as Posted);
    else answer.refused += 1;
    response.writeHead(answer.status).end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, posted, answer };
}

function follow(db: TestDatabase, url: string, tables: readonly string[], keepsSlot = false) {
  const said: string[] = [];
  const say = (line: string) => void said.push(line);
  const follower = new SourceFollower({ url: db.url, tables, sink: url, keepsSlot, say });
  onTestFinished(() => follower.stop(true));
  return { follower, said };
}

const left = (db: TestDatabase) =>
  db.query(
    `select slot_name as name from pg_replication_slots where database = current_database()
     union all select pubname from pg_publication`,
  );

test('rows and changes are posted until they are accepted, and nothing is left in the source', async ({
  db,
}) => {
  await db.query('create table "Order" (id int primary key)');
  await db.query('insert into "Order" values (1)');
  const { url, posted, answer } = await sink();
  answer.status = 503;
  const { follower, said } = follow(db, url, ['public.Order']);
  await until(() => answer.refused > 0);
  answer.status = 204;
  await until(() => said.includes('following public.Order'));
  await db.query('insert into "Order" values (2)');
  await db.query('delete from "Order" where id = 1');
  await until(() => posted.length === 3);
  expect(posted.map(({ op, after }) => [op, after?.id])).toEqual([
    ['r', 1],
    ['c', 2],
    ['d', undefined],
  ]);
  await follower.stop();
  expect(await left(db)).toEqual([]);
});

test('a stop while events are refused leaves nothing in the source', async ({ db }) => {
  await db.query('create table "Order" (id int primary key)');
  const { url, answer } = await sink();
  const { follower, said } = follow(db, url, ['public.Order']);
  await until(() => said.includes('following public.Order'));
  answer.status = 503;
  await db.query('insert into "Order" values (1)');
  await until(() => answer.refused > 0);
  await follower.stop();
  expect(await left(db)).toEqual([]);
});

test('a table whose rows can not be named is refused, and its application goes on', async ({
  db,
}) => {
  await db.query('create table plain (id int)');
  await db.query('insert into plain values (1)');
  const { url } = await sink();
  const { said } = follow(db, url, ['public.plain']);
  await until(() => said.length > 0);
  expect(said[0]).toMatch(/^the source: public\.plain has no primary key/);
  const [, remedy] = /run '(.*)'/.exec(said[0]!)!;
  await db.query('update plain set id = 2');
  await db.query(remedy!);
  const again = follow(db, url, ['public.plain']);
  await until(() => again.said.includes('following public.plain'));
  await db.query('update plain set id = 3');
});

test('a missing table is waited for, and a stop waits neither for it nor for other transactions', async ({
  db,
}) => {
  const { url } = await sink();
  const { follower, said } = follow(db, url, ['public.later']);
  await until(() => said.length > 0);
  expect(said).toEqual(['public.later does not exist in the source yet; waiting for it']);
  await follower.stop();

  await db.query('create table later (id int primary key)');
  const other = await db.pool.connect();
  await other.query('begin; insert into later values (1)');
  const blocked = follow(db, url, ['public.later']);
  const start = performance.now();
  await until(async () => (await left(db)).length > 0);
  await blocked.follower.stop();
  expect(performance.now() - start).toBeLessThan(10_000);
  await other.query('rollback');
  other.release();
});

test('a slot that is kept continues where it was, and one of an earlier run is named', async ({
  db,
}) => {
  await db.query('create table item (id int primary key)');
  const { url, posted } = await sink();
  const first = follow(db, url, ['public.item'], true);
  await until(() => first.said.includes('following public.item'));
  await first.follower.stop();
  await db.query('insert into item values (1)');
  const second = follow(db, url, ['public.item'], true);
  await until(() => posted.length === 1);
  expect(posted[0]).toMatchObject({ op: 'c', after: { id: 1 } });
  await second.follower.stop();

  const foreign = follow(db, url, ['public.item']);
  await until(() => foreign.said.some((line) => line.startsWith('following')));
  expect(foreign.said[0]).toBe(
    "muster_dev in the source is left of an earlier run, and keeps its log: select pg_drop_replication_slot('muster_dev')",
  );
});

test('changes that were lost are named, and all rows are posted again', async ({ db }) => {
  await db.query('create table item (id int primary key)');
  await db.query('insert into item values (1)');
  const { url, posted } = await sink();
  const first = follow(db, url, ['public.item'], true);
  await until(() => first.said.includes('following public.item'));
  await first.follower.stop();
  await db.query('drop publication muster_dev');
  await db.query('insert into item values (2)');
  const second = follow(db, url, ['public.item'], true);
  await until(() => second.said.includes('following public.item'));
  expect(second.said[0]).toMatch(
    /^the publication was dropped: changes of the source were lost: all rows are read again/,
  );
  expect(posted.map(({ op, after }) => [op, after?.id])).toEqual([
    ['r', 1],
    ['r', 1],
    ['r', 2],
  ]);
});
