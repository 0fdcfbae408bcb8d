import { expect } from 'vitest';
import { due, failed, outbox, parked, paused } from '../../src/doctor/database/work.ts';
import { serverOn } from '../support/engine.ts';
import { feedOn } from '../support/feed.ts';
import { numbers } from '../support/numbers.ts';
import { pairOf } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { envelope, post } from '../support/sender.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { reportOf, stateOf } from './examination.ts';

const pair = pairOf();

test('reports a paused function', async ({ db }) => {
  const context = await stateOf(db);
  await workerOn(db, [pair]);
  expect(await reportOf(paused, context)).toEqual(['✓ none']);
  await db.query('update muster.function set paused = true');
  await expect(paused.run(context)).resolves.toEqual([
    { state: 'problem', message: 'pair starts no runs', remedy: 'muster resume pair' },
  ]);
});

test('reports a partition that is stopped and one that is unread', async ({ db }) => {
  const context = await stateOf(db);
  await feedOn(db, numbers(), 3);
  expect(await reportOf(due, context)).toEqual(['✓ none; 0 workers running']);
  await db.query(
    `update muster.position set reported_at = reported_at - interval '10 minutes' where partition = 2`,
  );
  await db.query(`update muster.position set problem = 'no reason' where partition = 0`);
  await expect(due.run(context)).resolves.toEqual([
    {
      state: 'problem',
      message: 'numbers does not read partition 0 of numbers: no reason',
      remedy: 'muster seek numbers 0 <offset>   # where to resume; it is at 0',
    },
    {
      state: 'problem',
      message: expect.stringMatching(
        /^no worker has read partition 2 of numbers for 10 min/,
      ) as string,
      remedy: expect.stringContaining('kafka-topics.sh --describe --topic numbers') as string,
    },
  ]);
  // scaled to zero: none of them is read
  await db.query(
    `update muster.position set problem = null, reported_at = now() - interval '1 hour'`,
  );
  expect(await reportOf(due, context)).toEqual(['✓ none; 0 workers running']);
});

test('a position of another server has a new epoch as its remedy', async ({ db }) => {
  const server = await serverOn(db, [pair]);
  for (const file of ['mysql-bin.000003', 'mysql-bin.000900']) {
    const body = JSON.parse(envelope('u', 1, { id: 1, k: 'x', kind: 'a' })) as { source: object };
    const place = { connector: 'mysql', name: 'shop', db: 'public', file, pos: 4, row: 0 };
    const message = { ...body, source: { ...body.source, ...place, lsn: undefined } };
    await post(server.url, JSON.stringify(message));
  }
  await server.stop();
  expect((await parked.run(await stateOf(db))).map(({ remedy }) => remedy)).toEqual([
    'muster epoch bump shop && muster redeliver --reason position-ahead',
  ]);
});

test('reports parked events by reason, each with a remedy for its cause', async ({ db }) => {
  const context = await stateOf(db);
  expect(await reportOf(parked, context)).toEqual(['✓ none']);
  const server = await serverOn(db, [pair]);
  const send = async (lsn: number, row: object, at = Date.now() - 7_200_000) => {
    const body = JSON.parse(envelope('u', lsn, row)) as { source: { ts_ms: number } };
    body.source.ts_ms = at;
    return (await post(server.url, JSON.stringify(body))).status;
  };
  expect(await send(1000, { id: 1, k: 'x', kind: 'a' })).toBe(204);
  expect(await send(1001, { id: 2, k: '__debezium_unavailable_value', kind: 'a' })).toBe(202);
  expect(await send(10, { id: 3, k: 'x', kind: 'a' }, Date.now() - 3_600_000)).toBe(202);
  expect((await post(server.url, 'nonsense')).status).toBe(202);
  const foreign = JSON.parse(envelope('u', 1002, { id: 4 })) as { source: { connector: string } };
  foreign.source.connector = 'oracle';
  expect((await post(server.url, JSON.stringify(foreign))).status).toBe(202);
  await server.stop();

  const findings = await parked.run(context);
  expect(
    findings.map((each) => [
      each.message.replace(/, the oldest parked \d.* ago; the latest: .*/, ''),
      each.remedy,
    ]),
  ).toEqual([
    [
      '1 event: not-a-change',
      'muster parked   # to see them; once the cause is fixed: muster redeliver --reason not-a-change',
    ],
    [
      '1 event: position-restarted',
      'muster epoch bump test && muster redeliver --reason position-restarted',
    ],
    [
      '1 event: unavailable-column',
      'muster doctor --source <url>   # lists the statements under "replica identity"; then have the rows sent again, and: muster redeliver --reason unavailable-column',
    ],
    [
      '1 event: unsupported-source',
      'kubectl get kafkasource -A   # remove the topics of the other database from spec.topics',
    ],
  ]);
});

test('reports failed runs with their latest error, except those of sets that are no longer complete', async ({
  db,
}) => {
  const context = await stateOf(db);
  await workerOn(db, [pair]);
  expect(await reportOf(failed, context)).toEqual(['✓ none']);
  await addRun(db, 'x', `'failed', true`, 'TerminalError: no such order\n  at handle');
  await addRun(db, 'y', `'failed', false`, 'Error: late');
  await expect(failed.run(context)).resolves.toEqual([
    {
      state: 'problem',
      message: '1 run of pair failed; the latest error: TerminalError: no such order',
      remedy:
        'muster sets pair --failed   # to see them; once the cause is fixed: muster retry pair --all',
    },
  ]);
});

test('reports events that the sink refused or does not accept', async ({ db }) => {
  const context = await stateOf(db);
  await workerOn(db, [pair]);
  await addEvent(db, 'sent_at = now()');
  await addEvent(db, 'attempts = 0');
  expect(await reportOf(outbox, context)).toEqual(['✓ none']);
  await addEvent(db, `attempts = 3, error = 'connect ECONNREFUSED'`);
  const late = '✗ the sink does not accept 1 event of pair: connect ECONNREFUSED';
  expect(await reportOf(outbox, context)).toEqual([late]);
  await addEvent(db, `failed_at = now(), error = '400 no such type'`);
  await expect(outbox.run(context)).resolves.toEqual([
    {
      state: 'problem',
      message: 'the sink refused 1 event of pair permanently; the latest error: 400 no such type',
      remedy:
        'muster events pair --refused   # to see them; once the sink accepts them: muster resend pair --all; if they are not needed: muster discard events pair --all',
    },
    expect.objectContaining({ message: late.slice(2) }),
  ]);
});

test('reports events that wait because no sink is configured, attempted or not', async ({ db }) => {
  const context = await stateOf(db);
  await workerOn(db, [pair]);
  await db.query('update muster.function set sink_missing_until = now()');
  await addEvent(db, 'sent_at = now()');
  expect(await reportOf(outbox, context)).toEqual(['✓ none']);
  await addEvent(db, 'attempts = 0');
  expect(await reportOf(outbox, context)).toEqual([
    '✗ 1 event of pair waits because no sink is configured',
  ]);
  await addEvent(db, `attempts = 3, error = 'connect ECONNREFUSED'`);
  expect(await reportOf(outbox, context)).toEqual([
    '✗ 2 events of pair wait because no sink is configured',
  ]);
});

test('due work is a problem once no worker is running', async ({ db }) => {
  const context = await stateOf(db);
  await workerOn(db, [pair]);
  expect(await reportOf(due, context)).toEqual(['✓ none; 1 worker running']);
  await addRun(db, 'x', `'ready', true`, null);
  expect(await reportOf(due, context)).toEqual([
    '✓ 1 run, the oldest due for 5 min; 1 worker running',
  ]);
  await db.query(`update muster.worker set lease_until = now() - interval '1 s'`);
  expect(await reportOf(due, context)).toEqual([
    '✗ 1 run, the oldest due for 5 min; 0 workers running',
  ]);
  await db.query('update muster.function set paused = true');
  expect(await reportOf(due, context)).toEqual(['✓ none; 0 workers running']);
});

async function addRun(
  db: TestDatabase,
  key: string,
  standing: string,
  error: string | null,
): Promise<void> {
  await db.query(
    `insert into muster.run (function, key, revision, state, complete, token, attempt, due_at, created_at, finished_at, error)
     select id, $1, 1, ${standing}, 1, 1, now() - interval '5 minutes', now(), now(), $2 from muster.function`,
    [key, error],
  );
}

async function addEvent(db: TestDatabase, set: string): Promise<void> {
  const [row] = await db.query<{ id: string }>(
    `insert into muster.outbox (function, key, event_id, type, subject)
     select id, 'k', gen_random_uuid()::text, 't', 's' from muster.function returning id`,
  );
  await db.query(`update muster.outbox set ${set} where id = $1`, [row!.id]);
}
