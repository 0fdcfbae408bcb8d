import { expect } from 'vitest';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { sinkServer } from '../support/sink.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { muster } from './command.ts';

const run = (db: TestDatabase, ...args: string[]) => muster({ DATABASE_URL: db.url }, args);

const two = pairOf({ handle: () => [{ type: 'pair.made' }, { type: 'pair.done' }] });
const unsent = (db: TestDatabase) =>
  db.query(
    `select event_id as id, failed_at is not null as refused, due_at <= now() as due, attempts, error
     from muster.outbox where sent_at is null order by id`,
  );
const statusOf = (id: string) => (id.startsWith('pair/w') ? 503 : id.endsWith('/0') ? 400 : 202);

/** Starts a sink that refuses the first event of the sets x and y, and temporarily fails for those of w. */
async function refused(db: TestDatabase) {
  const sink = await sinkServer();
  sink.answer = statusOf;
  const engine = await engineOn(db, [two], { K_SINK: sink.url });
  for (const key of ['x', 'y', 'w']) {
    for (const each of [partA(key), partB(key)]) await engine.ingestor.ingest(each);
    const made = () => db.query('select from muster.outbox where key = $1', [key]);
    await until(async () => (await made()).length === 2); // runs end in any order, and events are listed by age
  }
  await until(
    async () =>
      (await db.query('select from muster.outbox where sent_at is not null')).length === 2,
  );
  await until(async () => (await unsent(db)).filter(({ error }) => error !== null).length === 3);
  return { sink, engine };
}

test('refused events are listed and sent again under the same id, until all have been sent', async ({
  db,
}) => {
  const { sink, engine } = await refused(db);
  const listed = await run(db, 'events', 'pair', '--refused');
  expect(listed.stdout.replaceAll(/\t\d{4}-\S+Z\t/g, '\tTIME\t')).toBe(
    ['x', 'y']
      .map(
        (key) => `pair/${key}/1/0\tpair.made\trefused\tTIME\t1 attempt\t${sink.url} answered 400\n`,
      )
      .join(''),
  );
  const waiting = await run(db, 'events', '--waiting', '--json');
  expect(
    waiting.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line)),
  ).toMatchObject([
    { eventId: 'pair/w/1/0', key: 'w', state: 'waiting', error: `${sink.url} answered 503` },
    { eventId: 'pair/w/1/1', key: 'w', state: 'waiting', attempts: 0, error: null },
  ]);

  sink.answer = () => 202;
  const one = await run(db, 'resend', 'pair', 'x');
  expect(one).toEqual({
    code: 0,
    stdout: 'pair/x/1/0\tpair.made\n1 event due to be sent again\n',
    stderr: '',
  });
  await until(() => sink.ids.filter((id) => id === 'pair/x/1/0').length === 2);
  expect((await run(db, 'resend', 'pair', '--all')).stdout).toBe(
    'pair/y/1/0\tpair.made\n1 event due to be sent again\n',
  );
  await until(() => sink.ids.filter((id) => id === 'pair/y/1/0').length === 2);
  await engine.stop();
  await until(
    async () => (await run(db, 'events', '--refused')).stderr === 'all events have been sent\n',
  );
});

test('refused events are discarded, and waiting ones stay', async ({ db }) => {
  const { engine } = await refused(db);
  await engine.stop();
  expect((await run(db, 'discard', 'events', 'pair', 'x')).stdout).toBe(
    'pair/x/1/0\tpair.made\n1 event discarded\n',
  );
  expect((await run(db, 'discard', 'events', 'pair', '--all')).stdout).toBe(
    'pair/y/1/0\tpair.made\n1 event discarded\n',
  );
  expect((await unsent(db)).map(({ id }) => id)).toEqual(['pair/w/1/0', 'pair/w/1/1']);
  const none = await run(db, 'discard', 'events', 'pair', 'w');
  expect(none).toEqual({
    code: 1,
    stdout: '',
    stderr: 'muster: no event of pair w was refused; see: muster events pair\n',
  });
});

test('a waiting event is discarded by its id, and the next of its set is due', async ({ db }) => {
  const { engine } = await refused(db);
  await engine.stop();
  const id = 'pair/w/1/0';
  expect((await run(db, 'discard', 'events', 'pair', 'w', '--event', id)).stdout).toBe(
    `${id}\tpair.made\n1 event discarded\n`,
  );
  expect((await unsent(db)).filter(({ id: each }) => String(each).startsWith('pair/w'))).toEqual([
    { id: 'pair/w/1/1', refused: false, due: true, attempts: 0, error: null },
  ]);
});

test('a sent event is neither sent again nor discarded', async ({ db }) => {
  const { engine } = await refused(db);
  await engine.stop();
  for (const command of [['resend'], ['discard', 'events']]) {
    const { code, stderr } = await run(db, ...command, 'pair', 'x', '--event', 'pair/x/1/1');
    expect([code, stderr]).toEqual([
      1,
      'muster: no event pair/x/1/1 of pair x was refused; see: muster events pair\n',
    ]);
  }
  expect(await db.query('select from muster.outbox')).toHaveLength(6);
});

test('an event of another function with the same key is left alone', async ({ db }) => {
  await workerOn(db, [pairOf(), pairOf({ name: 'other' })]);
  await db.query(
    `insert into muster.outbox (function, key, event_id, type, subject, failed_at)
     select id, 'x', name || '/x/1/0', 't', 'x', now() from muster.function`,
  );
  await run(db, 'resend', 'pair', '--all');
  await run(db, 'discard', 'events', 'pair', '--all');
  expect((await unsent(db)).map(({ id, refused: is }) => [id, is])).toEqual([
    ['other/x/1/0', true],
    ['pair/x/1/0', false],
  ]);
});
