import { expect } from 'vitest';
import { due, failed, outbox, parked, paused } from '../../src/doctor/database/work.ts';
import { serverOn } from '../support/engine.ts';
import { feedOn } from '../support/feed.ts';
import { numbers } from '../support/numbers.ts';
import { pairOf } from '../support/pair.ts';
import { podOn } from '../support/pod.ts';
import { envelope, post } from '../support/sender.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { says, stateOf } from './examination.ts';

const pair = pairOf();

test('a function that is paused is told', async ({ db }) => {
  const context = await stateOf(db);
  await podOn(db, [pair]);
  expect(await says(paused, context)).toEqual(['✓ none']);
  await db.query('update muster.function set paused = true');
  await expect(paused.run(context)).resolves.toEqual([
    { state: 'problem', says: 'pair starts no runs', mend: 'muster resume pair' },
  ]);
});

test('a partition that rests, and one that nobody reads, are told', async ({ db }) => {
  const context = await stateOf(db);
  await feedOn(db, numbers(), 3);
  expect(await says(due, context)).toEqual(['✓ none; 0 pods at work']);
  await db.query(
    `update muster.position set reported_at = reported_at - interval '10 minutes' where partition = 2`,
  );
  await db.query(`update muster.position set problem = 'no reason' where partition = 0`);
  await expect(due.run(context)).resolves.toEqual([
    {
      state: 'problem',
      says: 'numbers does not read partition 0 of numbers: no reason',
      mend: 'muster seek numbers 0 <offset>   # where to go on; it is at 0',
    },
    {
      state: 'problem',
      says: expect.stringMatching(/^nobody has read partition 2 of numbers for 10 min/) as string,
      mend: expect.stringContaining('kafka-topics.sh --describe --topic numbers') as string,
    },
  ]);
  // Scaled to zero: nobody reads any of them.
  await db.query(
    `update muster.position set problem = null, reported_at = now() - interval '1 hour'`,
  );
  expect(await says(due, context)).toEqual(['✓ none; 0 pods at work']);
});

test('parked events are told by their reason, with what mends its cause', async ({ db }) => {
  const context = await stateOf(db);
  expect(await says(parked, context)).toEqual(['✓ none']);
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
  expect(findings.map((each) => [each.says.slice(0, 29), each.mend])).toEqual([
    [
      '1 event: not-a-change, since ',
      'muster parked   # to see them; once their cause is mended: muster redeliver --reason not-a-change',
    ],
    [
      '1 event: position-restarted, ',
      'muster epoch bump test && muster redeliver --reason position-restarted',
    ],
    [
      '1 event: unavailable-column, ',
      'muster doctor --source <url>   # names the statements under "replica identity"; then let the rows be sent again, and: muster redeliver --reason unavailable-column',
    ],
    [
      '1 event: unsupported-source, ',
      'kubectl get kafkasource -A   # take the topics of the other database out of spec.topics',
    ],
  ]);
});

test('runs that gave up are told with their last error; those of a broken set are not', async ({
  db,
}) => {
  const context = await stateOf(db);
  await podOn(db, [pair]);
  expect(await says(failed, context)).toEqual(['✓ none']);
  await addRun(db, 'x', `'failed', true`, 'TerminalError: no such order\n  at handle');
  await addRun(db, 'y', `'failed', false`, 'Error: late');
  await expect(failed.run(context)).resolves.toEqual([
    {
      state: 'problem',
      says: '1 run of pair gave up; the last: TerminalError: no such order',
      mend: 'muster sets pair --failed   # to see them; once their cause is mended: muster retry pair --all',
    },
  ]);
});

test('events that the sink refused, or does not take, are told', async ({ db }) => {
  const context = await stateOf(db);
  await podOn(db, [pair]);
  await addEvent(db, 'sent_at = now()');
  await addEvent(db, 'attempts = 0');
  expect(await says(outbox, context)).toEqual(['✓ none']);
  await addEvent(db, `attempts = 3, error = 'connect ECONNREFUSED'`);
  const late = '✗ the sink does not take 1 event of pair: connect ECONNREFUSED';
  expect(await says(outbox, context)).toEqual([late]);
  await addEvent(db, `failed_at = now(), error = '400 no such type'`);
  await expect(outbox.run(context)).resolves.toEqual([
    {
      state: 'problem',
      says: 'the sink refused 1 event of pair for good; the last: 400 no such type',
      mend: 'muster events pair --refused   # to see them; once the sink takes them: muster resend pair --all; if nobody needs them: muster discard events pair --all',
    },
    expect.objectContaining({ says: late.slice(2) }),
  ]);
});

test('events that wait because no sink is configured are told, tried or not', async ({ db }) => {
  const context = await stateOf(db);
  await podOn(db, [pair]);
  await db.query('update muster.function set sink_missing_until = now()');
  await addEvent(db, 'sent_at = now()');
  expect(await says(outbox, context)).toEqual(['✓ none']);
  await addEvent(db, 'attempts = 0');
  expect(await says(outbox, context)).toEqual([
    '✗ 1 event of pair waits because no sink is configured',
  ]);
  await addEvent(db, `attempts = 3, error = 'connect ECONNREFUSED'`);
  expect(await says(outbox, context)).toEqual([
    '✗ 2 events of pair wait because no sink is configured',
  ]);
});

test('work that is due is a problem once no pod is there to do it', async ({ db }) => {
  const context = await stateOf(db);
  await podOn(db, [pair]);
  expect(await says(due, context)).toEqual(['✓ none; 1 pod at work']);
  await addRun(db, 'x', `'ready', true`, null);
  expect(await says(due, context)).toEqual(['✓ 1 run, the oldest since 5 min; 1 pod at work']);
  await db.query(`update muster.worker set lease_until = now() - interval '1 s'`);
  expect(await says(due, context)).toEqual(['✗ 1 run, the oldest since 5 min; 0 pods at work']);
  await db.query('update muster.function set paused = true');
  expect(await says(due, context)).toEqual(['✓ none; 0 pods at work']);
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
