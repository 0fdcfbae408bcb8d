import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { until } from '../support/until.ts';
import { compare, hasLogged, load, READING, sharedSourceOf, WAITING } from './reading.ts';
import { test } from './test.ts';

test('kill -9 of the reader under load loses nothing and runs nothing twice', async ({
  db,
  chaos,
}) => {
  const source = await sharedSourceOf(db);
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
  await until(async () => (await compare(db, db)).lost === 0, 40_000);
  expect(await compare(db, db)).toEqual({ lost: 0, twice: 0, done: sets });
}, 120_000);

test('a second process takes over when the reader is killed, or stops', async ({ db, chaos }) => {
  const source = await sharedSourceOf(db);
  const first = chaos.launch(source);
  await until(() => hasLogged(first, READING), 30_000);
  const writing = load(db);
  const second = await chaos.launch(source).serving();
  await until(() => hasLogged(second, WAITING));
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
  await until(async () => (await compare(db, db)).lost === 0, 40_000);
  expect(await compare(db, db)).toEqual({ lost: 0, twice: 0, done: sets });
}, 120_000);

test('a reader that is paused, and continues after another took over, changes nothing', async ({
  db,
  chaos,
}) => {
  const source = await sharedSourceOf(db);
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
  await until(() => hasLogged(paused, WAITING), 20_000);
  const sets = await writing.stop();
  await until(async () => (await compare(db, db)).lost === 0, 40_000);
  expect(await compare(db, db)).toEqual({ lost: 0, twice: 0, done: sets });
}, 120_000);
