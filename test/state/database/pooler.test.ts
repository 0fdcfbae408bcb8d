import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import { reach } from '../../../src/doctor/reach.ts';
import { session } from '../../../src/doctor/database/session.ts';
import { openInspector } from '../../../src/state/database/inspector.ts';
import { migrate } from '../../../src/state/schema/migrate.ts';
import { muster, musterServe } from '../../cli/command.ts';
import { reportOf, stateOf } from '../../doctor/examination.ts';
import { engineOn } from '../../support/engine.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { pgbouncer, test } from '../../support/pgbouncer.ts';
import { until } from '../../support/until.ts';

const SHARES = 'a pooler in between shares server sessions among clients';

test('behind PgBouncer in session mode a function runs with its settings', async ({ db }) => {
  const name = new URL(db.url).pathname.slice(1);
  await db.query(`alter database ${name} set synchronous_commit = off`);
  await db.query('create table effect (commit text)');
  const url = await pgbouncer(db, { pool_mode: 'session' });
  const pair = pairOf({
    handle: async (_set, { tx }) =>
      void (await tx.query(`insert into effect values (current_setting('synchronous_commit'))`)),
  });
  const engine = await engineOn({ ...db, url }, [pair]);
  for (const key of ['x', 'y']) {
    for (const each of [partA(key), partB(key)]) await engine.ingestor.ingest(each);
  }
  await until(async () => (await db.query('select from effect')).length === 2);
  await engine.stop();
  expect(await db.query('select * from effect')).toEqual([{ commit: 'on' }, { commit: 'on' }]);
});

test('behind PgBouncer in transaction mode no command starts, and the error names the setting to change', async ({
  db,
}) => {
  const url = await pgbouncer(db, { pool_mode: 'transaction' });
  for (const command of ['serve', 'console', 'migrate', 'sets']) {
    const { code, stdout, stderr } = await muster({ DATABASE_URL: url, PORT: '0' }, [command]);
    expect({ command, code, stdout }).toEqual({ command, code: 1, stdout: '' });
    expect(stderr).toMatch(/^muster: a pooler in between .*pool_mode = session/m);
    expect(stderr).not.toContain('trying again');
  }
  expect(await db.query('select from muster.member')).toEqual([]);
});

test('the doctor reports a pooler that shares sessions, and accepts one that does not', async ({
  db,
}) => {
  const shared = await pgbouncer(db, { pool_mode: 'transaction' });
  expect((await reach(shared, 'DATABASE_URL')).finding).toMatchObject({
    state: 'problem',
    message: expect.stringContaining(SHARES) as string,
  });
  const own = await pgbouncer(db, { pool_mode: 'session' });
  const state = await stateOf({ ...db, url: own });
  expect(await reportOf(session, state)).toEqual([
    expect.stringMatching(/^✓ \d+ settings in effect, a pooler in session mode in between$/),
  ]);
  await state.inspector.query('set synchronous_commit = off');
  expect(await reportOf(session, state)).toEqual([
    expect.stringContaining('synchronous_commit is off, not on'),
  ]);
});

test('transaction mode is detected even while others use the pooler', async ({ db }) => {
  const url = await pgbouncer(db, { pool_mode: 'transaction', server_round_robin: '1' });
  const others = Array.from({ length: 4 }, () => new pg.Client(url));
  for (const other of others) {
    onTestFinished(() => other.end());
    await other.connect();
    await other.query('begin');
  }
  for (const other of others) await other.query('commit');
  for (let i = 0; i < 3; i++) await expect(openInspector(url)).rejects.toThrow(SHARES);
});

test('transaction mode is not taken for another while all server processes are busy', async ({
  db,
}) => {
  const url = await pgbouncer(db, { pool_mode: 'transaction', default_pool_size: '1' });
  const [first, next] = [new pg.Client(url), new pg.Client(url)];
  for (const each of [first, next]) {
    onTestFinished(() => each.end());
    await each.connect();
  }
  await first.query('begin');
  const opening = openInspector(url);
  opening.catch(() => {});
  await sleep(500); // the settings wait for the only process, which nothing shows
  const took = next.query('begin');
  await first.query('commit');
  await took; // now the check of the settings' session waits for it
  await expect(opening).rejects.toThrow('Query read timeout');
}, 30_000);

test('a session that the pooler does not reset is refused', async ({ db }) => {
  const url = await pgbouncer(db, { pool_mode: 'session', server_reset_query: '' });
  await (await openInspector(url)).close();
  await until(() =>
    openInspector(url).then(
      (inspector) => inspector.close().then(() => false),
      (error: Error) => error.message.includes(SHARES),
    ),
  );
});

test('a pooler without a session left for the second connection does not share', async ({ db }) => {
  const url = await pgbouncer(db, { pool_mode: 'session', default_pool_size: '1' });
  await migrate(url, []);
});

test('a refusal of PgBouncer ends the start, although its code is that of a broken connection', async ({
  db,
}) => {
  const url = await pgbouncer(db, { pool_mode: 'session' });
  const changed = (change: (url: URL) => unknown) => {
    const other = new URL(url);
    change(other);
    return other.href;
  };
  for (const [DATABASE_URL, reason] of [
    [changed((each) => (each.search = '?options=-c%20jit%3Doff')), 'a pooler in between'],
    [changed((each) => (each.password = 'wrong')), 'password authentication failed'],
    [changed((each) => (each.pathname = '/nowhere')), 'does not exist'],
  ] as const) {
    const { code, stderr } = await muster({ DATABASE_URL, PORT: '0' }, ['serve']);
    expect(code).toBe(1);
    expect(stderr).toContain(reason);
  }
});

test('muster serve serves behind PgBouncer in session mode', async ({ db }) => {
  const url = await pgbouncer(db, { pool_mode: 'session' });
  const process = await musterServe({ DATABASE_URL: url });
  expect(process.log).toContainEqual(expect.objectContaining({ msg: 'serving' }));
  process.kill('SIGTERM');
  expect(await process.exited).toEqual({ code: 0, signal: null });
});
