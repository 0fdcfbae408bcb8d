import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { expect, onTestFinished, test as plain } from 'vitest';
import { migrate } from '../../../src/state/schema/migrate.ts';
import { purge } from '../../../src/state/purge.ts';
import { grantRoles, ROLES } from '../../../src/state/schema/roles.ts';
import { muster } from '../../cli/command.ts';
import { truncate } from '../../support/changes.ts';
import { engineOn } from '../../support/engine.ts';
import { feedOn } from '../../support/feed.ts';
import { NUMBERS, numbers } from '../../support/numbers.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { databaseOn, workerOn } from '../../support/worker.ts';
import { install } from '../../support/server.ts';
import { sinkServer } from '../../support/sink.ts';
import { runsOf, setsOf } from '../../support/state.ts';
import { test, type TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';

const DENIED = '42501';

/** URL of a new user who is a member of these roles. */
async function loginOf(db: TestDatabase, ...roles: string[]): Promise<string> {
  expect(await grantRoles(db.url, ['recordings'])).toEqual([]);
  const name = `login_${randomUUID().replaceAll('-', '')}`;
  await db.query(`create role ${name} login password 'secret' in role ${roles.join(', ')}`);
  const url = new URL(db.url);
  url.username = name;
  url.password = 'secret';
  return url.href;
}

/** Runs a statement and rolls it back; returns its SQLSTATE, or null if it succeeds. */
async function tryAs(url: string): Promise<(text: string) => Promise<string | null>> {
  const client = new pg.Client(url);
  await client.connect();
  onTestFinished(() => client.end());
  return async (text) => {
    await client.query('begin');
    try {
      await client.query(text);
      return null;
    } catch (error) {
      return (error as { code: string }).code;
    } finally {
      await client.query('rollback');
    }
  };
}

async function namesOf(db: TestDatabase, text: string): Promise<string[]> {
  return (await db.query<{ name: string }>(text)).map(({ name }) => name);
}

const relationsOf = (db: TestDatabase) =>
  namesOf(
    db,
    `select relname as name from pg_class where relnamespace = 'muster'::regnamespace and relkind in ('r', 'v')`,
  );

test('a member of muster_intake and muster_run reads a projection', async ({ db }) => {
  const url = await loginOf(db, 'muster_intake', 'muster_run');
  await db.query(NUMBERS);
  await db.query('grant select, insert, update on total, applied to muster_run');
  const feed = await feedOn({ url }, numbers({ async settle() {} }), 2);
  await feed.give(0, [{ n: 1 }, { n: 'none' }]);
  await feed.positions.report([{ partition: 0, low: 0, high: 2 }]);
  await feed.positions.lose(1, 0, 3);
  await feed.positions.rest(1, 'recreated');
  await feed.settle();
  expect(await db.query('select next, problem from muster.position order by partition')).toEqual([
    { next: '2', problem: null },
    { next: '3', problem: 'recreated' },
  ]);
});

test('a member of muster_intake and muster_run serves', async ({ db }) => {
  const url = await loginOf(db, 'muster_intake', 'muster_run');
  const sink = await sinkServer();
  const definition = pairOf({
    overdueAfter: '1 millisecond',
    keepFor: '1 millisecond',
    forgetAfter: '1 day',
    concurrency: 5,
    async handle(set, { tx }) {
      await tx.query(
        `insert into recordings.processed (recording, span, run_id, channels) values (gen_random_uuid(), 's', $1, '{}')`,
        [set.keyText],
      );
      return [{ type: 'done' }];
    },
  });
  const engine = await engineOn({ ...db, url }, [definition], { K_SINK: sink.url });
  const { ingestor } = engine;
  await Promise.all([partA('x'), partB('x'), partA('late')].map((each) => ingestor.ingest(each)));
  await ingestor.park(
    { attributes: {}, contentType: null, body: Buffer.from('x') },
    'not-a-change',
    'why',
  );
  await until(() => sink.ids.length === 2); // one from the run, one for the overdue set
  // of a set that must not be purged in the meantime
  expect(await ingestor.explain(partA('late'))).toMatchObject({ sets: [{ status: 'waiting' }] });
  await ingestor.ingest(truncate(10_000_000));
  await engine.stop();
  expect(await runsOf(db)).toMatchObject([{ key: 'x', state: 'done' }]);
  expect(engine.lines.filter(({ level }) => level !== 'info')).toEqual([
    expect.objectContaining({ message: 'set is overdue' }),
    expect.objectContaining({ reason: 'draining' }),
  ]);
});

test('a member of muster_run alone purges', async ({ db }) => {
  const runner = await loginOf(db, 'muster_run');
  const both = await loginOf(db, 'muster_intake', 'muster_run');
  const pod = await workerOn({ url: both }, [pairOf()], { slots: 1 });
  for (const each of [partA('x'), partB('x')]) await pod.ingestor.ingest(each);
  await pod.runs.finish(pod.leases.map((lease) => ({ lease, events: [] })));
  await db.query(`update muster.run set finished_at = finished_at - interval '31 days'`);
  await db.query(
    `update muster.member set since = since - interval '31 days', gone_on = case when not in_set then (since - interval '31 days')::date end`,
  );
  const database = databaseOn({ url: runner });
  onTestFinished(() => database.close());
  const definition = pairOf({ forgetAfter: '1 day' });
  await purge(database, [{ definition, served: pod.served[0]! }], { tombstoneSeconds: 1 });
  expect(await runsOf(db)).toEqual([]);
  expect(await setsOf(db)).toEqual([]);
});

test("muster_intake can't read events of handlers, parked bodies or tables of functions", async ({
  db,
}) => {
  const attempt = await tryAs(await loginOf(db, 'muster_intake'));
  expect(await attempt('select key, sent_at from muster.outbox')).toBeNull();
  for (const text of [
    'select data from muster.outbox',
    `update muster.outbox set sent_at = now()`,
    'delete from muster.outbox',
    `insert into muster.outbox (function, key, event_id, type, subject) values (1, 'x', 'x', 't', 's')`,
    'select body from muster.parked',
    'select from muster.due',
    'delete from muster.run',
    'delete from muster.worker',
    'delete from muster.function',
    'truncate muster.member',
    'create table muster.mine ()',
    'drop table muster.member',
    'select from recordings.processed',
  ]) {
    expect([text, await attempt(text)]).toEqual([text, DENIED]);
  }
});

test("muster_run can't create runs, change rules or read parked events", async ({ db }) => {
  const attempt = await tryAs(await loginOf(db, 'muster_run'));
  expect(await attempt('delete from recordings.processed')).toBeNull();
  expect(await attempt('update muster.outbox set sent_at = now()')).toBeNull();
  for (const text of [
    `insert into muster.run (function, key) values (1, 'x')`,
    `insert into muster.member (function, id) values (1, 'x')`,
    'update muster.function set need = need',
    `insert into muster.definition values (1, 1, 'x', '{}')`,
    'delete from muster.part',
    'select from muster.parked',
    'select from muster.source',
    'truncate muster.outbox',
    'create table recordings.mine ()',
    'drop table recordings.processed',
    'drop schema muster cascade',
  ]) {
    expect([text, await attempt(text)]).toEqual([text, DENIED]);
  }
});

test('muster_read can read everything and change nothing', async ({ db }) => {
  const attempt = await tryAs(await loginOf(db, 'muster_read'));
  const names = (await relationsOf(db)).map((each) => `muster.${each}`);
  for (const name of [...names, 'recordings.processed']) {
    expect([name, await attempt(`select * from ${name}`)]).toEqual([name, null]);
    // the error about a view that is not updatable comes before that about privileges
    expect(await attempt(`delete from ${name}`)).toBeOneOf([DENIED, '55000']);
  }
  expect(await attempt(`update muster.function set paused = true`)).toBe(DENIED);
});

test('muster_keda can read the due work and nothing else', async ({ db }) => {
  await workerOn(db, [pairOf()]);
  const attempt = await tryAs(await loginOf(db, 'muster_keda'));
  expect(await attempt(`select total from muster.due where function = 'pair'`)).toBeNull();
  const relations = await relationsOf(db);
  expect(relations.length).toBeGreaterThan(14);
  for (const name of relations.filter((each) => each !== 'due')) {
    expect([name, await attempt(`select from muster.${name}`)]).toEqual([name, DENIED]);
  }
  for (const text of [
    'delete from muster.run',
    'create table muster.mine ()',
    'select from recordings.processed',
    `select muster.plus('{}', '{}')`,
    `set role muster_run`,
  ]) {
    expect([text, await attempt(text)]).toEqual([text, DENIED]);
  }
});

test('every table can be written by some role', async ({ db }) => {
  await grantRoles(db.url, []);
  const idle = await namesOf(
    db,
    `select relname as name from pg_class where relnamespace = 'muster'::regnamespace and relkind = 'r'
       and not relname ~ '^migration' and not exists (
         select from unnest(array['muster_intake', 'muster_run']) role
         where has_table_privilege(role, oid, 'insert, update, delete'))`,
  );
  expect(idle).toEqual([]);
});

test('privileges that a release no longer needs are revoked', async ({ db }) => {
  await db.query('grant all on muster.parked to muster_run, public');
  const attempt = await tryAs(await loginOf(db, 'muster_run'));
  expect(await attempt('delete from muster.parked')).toBe(DENIED);
});

test('nothing is granted in the schema of a source, even if a function has its name', async ({
  db,
}) => {
  const part = { table: 'recordings.processed', key: 'recording' };
  await workerOn(db, [{ ...pairOf(), parts: { a: part } }]);
  const attempt = await tryAs(await loginOf(db, 'muster_run'));
  expect(await attempt('select from recordings.processed')).toBe(DENIED);
});

plain(
  'who may not make roles is told which are missing, and grants once they are there',
  async () => {
    const { server, url, remove } = await install();
    await server.start();
    onTestFinished(async () => {
      await server.stop();
      await remove();
    });
    const admin = new pg.Client(`${url}/postgres`);
    await admin.connect();
    await admin.query(`create role owner login password 'secret'`);
    await admin.query('create database state owner owner');
    const state = new URL(`${url}/state`);
    state.username = 'owner';
    state.password = 'secret';
    const migrated = async () => {
      await migrate(state.href, ['recordings']);
      return grantRoles(state.href, ['recordings']);
    };
    expect(await migrated()).toEqual([...ROLES]);
    const { code, stdout } = await muster({ DATABASE_URL: state.href }, ['migrate']);
    expect(code).toBe(0);
    for (const role of ROLES) expect(stdout).toContain(`create role ${role} nologin;`);
    await admin.query(ROLES.map((role) => `create role ${role} nologin`).join('; '));
    expect(await migrated()).toEqual([]);
    await admin.query(`create role keda login password 'secret' in role muster_keda`);
    state.username = 'keda';
    const attempt = await tryAs(state.href);
    expect(await attempt('select total from muster.due')).toBeNull();
    expect(await attempt('select from muster.run')).toBe(DENIED);
    await admin.end();
  },
);

test('operators read with muster_read, and make changes with the roles of a worker', async ({
  db,
}) => {
  const pod = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA('x'), partB('x')]) await pod.ingestor.ingest(each);
  await pod.runs.fail(pod.leases[0]!, 'no', null);
  await db.query(
    `insert into muster.parked (digest, reason, detail, attributes, body) values ('x', 'bad-key', 'd', '{}', 'x')`,
  );
  const looks = ['explain pair x', 'sets', 'sets pair --failed', 'parked', 'parked 1'];
  const repairs = ['pause pair', 'resume pair', 'retry pair x', 'epoch bump test'];
  const reader = { DATABASE_URL: await loginOf(db, 'muster_read') };
  const operator = {
    DATABASE_URL: await loginOf(db, 'muster_intake', 'muster_run', 'muster_read'),
  };
  const run = async (env: typeof reader, commands: readonly string[]) =>
    Promise.all(commands.map(async (each) => [each, (await muster(env, each.split(' '))).code]));
  expect(await run(reader, looks)).toEqual(looks.map((each) => [each, 0]));
  expect(await run(reader, repairs)).toEqual(repairs.map((each) => [each, 1]));
  expect(await run(operator, repairs)).toEqual(repairs.map((each) => [each, 0]));
  const unparked = await tryAs(operator.DATABASE_URL);
  expect(await unparked('delete from muster.parked where id = 1')).toBeNull();
  const served = { DATABASE_URL: await loginOf(db, 'muster_intake', 'muster_run') };
  const discards = ['discard parked 1'];
  expect(await run(served, discards)).toEqual(discards.map((each) => [each, 0]));
});
