import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import type { TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { dropSlot, newSlot } from '../support/wal.ts';
import type { TestProcess } from '../support/process.ts';
import { test } from './test.ts';

const TABLES = ['item', 'bounded', 'brief', 'batched'].map(
  (name) => `create table ${name} (id text primary key, k text, kind text);`,
);
const READING = 'reading changes from the log of the source';

/** Settings of a process that reads the test's database, which is the source and the state. */
async function sourceOf(db: TestDatabase) {
  await db.query(TABLES.join('\n'));
  const slot = newSlot();
  onTestFinished(() => dropSlot(db, slot));
  return { INTAKE: 'wal', SOURCE_DATABASE_URL: db.url, WAL_SLOT: slot };
}

const hasLogged = (process: TestProcess, msg: string) =>
  process.log.some((line) => line['msg'] === msg);

/** Writes sets until the test stops it: both rows in one transaction or in two, with updates and deletes in between. */
function load(db: TestDatabase) {
  const state = { sets: 0, isOver: false };
  onTestFinished(() => void (state.isOver = true));
  const writing = (async () => {
    for (let n = 0; !state.isOver; n++) {
      const k = `set${n}`;
      await db.query(`insert into item values ($1 || 'a', $1, 'a')`, [k]);
      if (n % 3 === 0) await db.query(`update item set kind = kind where k = $1`, [k]);
      if (n % 7 === 0) {
        await db.query(`delete from item where k = $1`, [k]);
        await db.query(`insert into item values ($1 || 'a2', $1, 'a')`, [k]);
      }
      await db.query(`insert into item values ($1 || 'b', $1, 'b')`, [k]);
      state.sets = n + 1;
    }
  })();
  return {
    get sets() {
      return state.sets;
    },
    async stop() {
      state.isOver = true;
      await writing;
      return state.sets;
    },
  };
}

/** Compares the handler's table with the source. */
async function compare(db: TestDatabase) {
  const [row] = await db.query<{ lost: number; twice: number; done: number }>(
    `with complete as (
       select k from item group by k having count(distinct kind) = 2
     ), effects as (
       select split_part(run, '/', 2) as k, count(*) as times from effect group by 1
     )
     select (count(*) filter (where e.k is null))::int as lost,
            (count(*) filter (where e.times > 1))::int as twice, count(e.k)::int as done
     from complete c full join effects e using (k)`,
  );
  return row!;
}

test('kill -9 of the reader under load loses nothing and runs nothing twice', async ({
  db,
  chaos,
}) => {
  const source = await sourceOf(db);
  let doomed = chaos.launch(source);
  await until(() => hasLogged(doomed, READING), 30_000);
  const writing = load(db); // what is there before is history
  for (let round = 0; round < 4; round++) {
    const since = writing.sets;
    await until(() => writing.sets > since + 30);
    await sleep(Math.random() * 200);
    doomed.kill('SIGKILL');
    await doomed.exited;
    doomed = chaos.launch(source);
    await until(() => hasLogged(doomed, READING), 30_000);
  }
  const sets = await writing.stop();
  await until(async () => (await compare(db)).lost === 0, 40_000);
  expect(await compare(db)).toEqual({ lost: 0, twice: 0, done: sets });
}, 120_000);

test('a second process takes over when the reader is killed, or stops', async ({ db, chaos }) => {
  const source = await sourceOf(db);
  const first = chaos.launch(source);
  await until(() => hasLogged(first, READING), 30_000);
  const writing = load(db);
  const second = await chaos.launch(source).serving();
  await until(() => hasLogged(second, 'another process reads the slot, waiting to take over'));
  const health = await fetch(`${second.url}/health/readiness`);
  expect([health.status, await health.text()]).toEqual([200, 'ready']);
  first.kill('SIGKILL');
  await until(() => hasLogged(second, READING));
  const third = await chaos.launch(source).serving();
  const since = writing.sets;
  await until(() => writing.sets > since + 30);
  second.kill('SIGTERM');
  expect(await second.exited).toEqual({ code: 0, signal: null });
  await until(() => hasLogged(third, READING));
  const sets = await writing.stop();
  await until(async () => (await compare(db)).lost === 0, 40_000);
  expect(await compare(db)).toEqual({ lost: 0, twice: 0, done: sets });
}, 120_000);

test('a reader that is paused, and continues after another took over, changes nothing', async ({
  db,
  chaos,
}) => {
  const source = await sourceOf(db);
  await db.query(
    `do $$ begin execute format('alter database %I set wal_sender_timeout = ''2s''', current_database()); end $$`,
  );
  const paused = await chaos.launch({ ...source, LEASE_SECONDS: '2' }).serving();
  await until(() => hasLogged(paused, READING), 30_000);
  const writing = load(db);
  const since = writing.sets;
  await until(() => writing.sets > since + 30);
  const heir = await chaos.launch(source).serving();
  paused.kill('SIGSTOP');
  await until(() => hasLogged(heir, READING), 20_000);
  const later = writing.sets;
  await until(() => writing.sets > later + 30);
  paused.kill('SIGCONT');
  await until(
    () => hasLogged(paused, 'another process reads the slot, waiting to take over'),
    20_000,
  );
  const sets = await writing.stop();
  await until(async () => (await compare(db)).lost === 0, 40_000);
  expect(await compare(db)).toEqual({ lost: 0, twice: 0, done: sets });
}, 120_000);
