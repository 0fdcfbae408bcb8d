import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import { defineFunction } from '../../src/function.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { serverOn } from '../support/engine.ts';
import { deliver, envelope, type Try } from '../support/sender.ts';
import { install } from '../support/server.ts';
import { test as base, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

interface Own extends TestDatabase {
  stop(): Promise<void>;
  start(): Promise<void>;
}

const test = base.extend<{ own: Own }>({
  own: async ({}, use) => {
    const { server, url: serverUrl, remove } = await install();
    await server.start();
    const url = `${serverUrl}/postgres`;
    await migrate(url, []);
    const pool = new pg.Pool({ connectionString: url, max: 2 });
    pool.on('error', () => {});
    pool.on('connect', (client) => client.on('error', () => {}));
    await use({
      url,
      pool,
      query: async <R extends object>(text: string, values?: unknown[]) =>
        (await pool.query<R>(text, values)).rows,
      stop: () => server.stop(),
      start: () => server.start(),
    });
    await pool.end();
    await server.stop();
    await remove();
  },
});

test('a crash and restart of Postgres under load loses nothing and runs nothing twice', async ({
  own,
}) => {
  await own.query('create table effect (run text not null)');
  const pair = defineFunction({
    name: 'pair',
    parts: {
      a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
      b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
    },
    retry: { attempts: 1000, first: '50 milliseconds', max: '50 milliseconds' },
    async handle(_set, { tx, runId }) {
      await tx.query('insert into effect values ($1)', [runId]);
    },
  });
  const server = await serverOn(own, [pair], { LEASE_SECONDS: '1' });

  const tries: Try[] = [];
  const enough = new AbortController();
  onTestFinished(() => enough.abort());
  let sets = 0;
  const load = (async () => {
    for (; !enough.signal.aborted; sets++) {
      for (const kind of ['a', 'b']) {
        const lsn = 2 * sets + (kind === 'a' ? 1 : 2);
        const event = envelope('c', lsn, { id: `${sets}${kind}`, k: sets, kind });
        await deliver(() => server.url, event, tries);
      }
    }
  })();
  const more = async () => {
    const goal = sets + 10;
    await until(() => sets >= goal);
  };
  const refusal = async () => {
    const before = tries.length;
    await until(() => tries.slice(before).some((each) => each.status === 503));
  };

  await more();
  const [writer] = await own.query<{ pid: number }>(
    `select pid from pg_stat_activity where application_name = 'muster writer' limit 1`,
  );
  process.kill(writer!.pid, 'SIGKILL'); // the server terminates all sessions and recovers
  await refusal();
  await more();
  await own.stop();
  await refusal();
  await own.start();
  await more();
  enough.abort();
  await load;

  await until(
    async () => (await own.query(`select from muster.run where state = 'done'`)).length === sets,
  );
  expect(new Set(tries.map((each) => each.status))).toEqual(new Set([204, 503]));
  expect(
    await own.query(
      'select count(*)::int as effects, count(distinct run)::int as runs from effect',
    ),
  ).toEqual([{ effects: sets, runs: sets }]);
  expect(await own.query('select count(*)::int as held from muster.member where in_set')).toEqual([
    { held: 2 * sets },
  ]);
  await server.stop();
});
