import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { mayPass } from '../../src/state/database/database.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { test } from './test.ts';

test('a process that loses its connection while it starts retries and serves', async ({
  db,
  chaos,
}) => {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy.close());
  const lost = proxy.loseAnswerTo('begin');
  const pod = chaos.launch({ DATABASE_URL: proxy.url });
  await lost;
  await pod.serving();
  expect(pod.log).toContainEqual(
    expect.objectContaining({ msg: 'the database does not answer, trying again' }),
  );
});

test('a process that starts before its database waits for it', async ({ db, chaos }) => {
  const port = await freePort();
  const away = new URL(db.url);
  away.port = String(port);
  const pod = chaos.launch({ DATABASE_URL: away.href });
  await until(() => pod.log.some((line) => String(line['msg']).endsWith('trying again')));
  const proxy = await startProxy(db.url, port);
  onTestFinished(() => proxy.close());
  await pod.serving();
});

test('a process that starts before the migration waits for it, and reports it', async ({
  db,
  chaos,
}) => {
  await db.query('drop schema muster cascade');
  const pod = chaos.launch({ DATABASE_URL: db.url });
  const waits = /^the state database is not at this release: 'muster migrate'/;
  await until(() => pod.log.some((line) => waits.test(String(line['msg']))));
  await migrate(db.url, []);
  await pod.serving();
});

test('a lost connection is a transient error, whatever message pg gives it', async ({ db }) => {
  const client = new pg.Client(db.url);
  let lost = false;
  client.on('error', () => {}).on('end', () => (lost = true));
  await client.connect();
  const [{ pid }] = (await client.query<{ pid: number }>('select pg_backend_pid() as pid'))
    .rows as [{ pid: number }];
  const asking = client.query('select pg_sleep(60)').catch((error: unknown) => error);
  await db.query('select pg_terminate_backend($1)', [pid]);
  const first = await asking;
  await until(() => lost);
  const errors = [first, await client.query('select').catch((error: unknown) => error)];
  const words = errors.map((error) => (error as Error).message);
  expect(errors.map((error, i) => [words[i], mayPass(error)])).toEqual(
    words.map((each) => [each, true]),
  );
  expect(words[1]).toContain('not queryable');
});
