import { expect } from 'vitest';
import { change } from '../support/changes.ts';
import { event } from '../support/events.ts';
import { numbers } from '../support/numbers.ts';
import { test } from '../support/numbers-test.ts';
import { feedOn } from '../support/feed.ts';
import { pairOf, partA } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { muster } from './command.ts';

/** Commands that list contents of the state database, with the fields that identify each item. */
const LISTS = {
  sets: ['function', 'key', 'status'],
  events: ['function', 'key', 'eventId'],
  parked: ['id', 'reason', 'attributes', 'body'],
  ignored: ['kind', 'name', 'count', 'lastAt'],
  positions: ['function', 'topic', 'partition', 'next'],
  'source list': ['source', 'epoch', 'lsn', 'at'],
} as const;

test('every list supports --json: one object per line, and no output if the list is empty', async ({
  db,
}) => {
  const env = { DATABASE_URL: db.url };
  for (const command of Object.keys(LISTS)) {
    const empty = await muster(env, [...command.split(' '), '--json']);
    expect([command, empty]).toEqual([command, { code: 0, stdout: '', stderr: '' }]);
  }

  const worker = await workerOn(db, [pairOf()]);
  for (const key of ['x', 'y']) {
    await worker.ingestor.ingest(partA(key));
    await worker.ingestor.ingest(change('c', 1, { id: key, k: key, kind: 'a' }, { source: key }));
    await worker.ingestor.park(
      { attributes: { source: '/test', id: key }, contentType: null, body: Buffer.from(key) },
      'not-a-change',
      'why',
    );
    await worker.ingestor.ingest(event(`type.${key}`, {}));
    await worker.ingestor.ignored.write(worker.database);
    await db.query(
      `insert into muster.outbox (function, key, event_id, type, subject) values (1, $1, $1, 't', 's')`,
      [key],
    );
  }
  const feed = await feedOn(db, numbers(), 2);
  for (const partition of [0, 1]) await feed.positions.lose(partition, 0, 5);

  for (const [command, fields] of Object.entries(LISTS)) {
    const { code, stdout } = await muster(env, [...command.split(' '), '--json']);
    const listed = stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as object);
    expect([command, code, listed.length > 1]).toEqual([command, 0, true]);
    for (const each of listed) {
      expect(Object.keys(each)).toEqual(expect.arrayContaining([...fields]));
    }
  }
});

test('with --json, commands print their results as one object per line', async ({ db }) => {
  const env = { DATABASE_URL: db.url };
  const worker = await workerOn(db, [pairOf()]);
  const lines = async (...args: string[]) => {
    const { code, stdout, stderr } = await muster(env, [...args, '--json']);
    expect([args, code, stderr]).toEqual([args, 0, '']);
    return stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as unknown);
  };
  expect(await lines('pause', 'pair')).toEqual([{ function: 'pair', paused: true }]);
  expect(await lines('resume', 'pair')).toEqual([{ function: 'pair', paused: false }]);
  expect(await lines('retry', 'pair', '--all')).toEqual([{ function: 'pair', retried: 0 }]);
  expect(await lines('discard', 'runs', 'pair', '--all')).toEqual([
    { function: 'pair', discarded: 0 },
  ]);
  expect(await lines('resend', 'pair', '--all')).toEqual([]);
  await worker.ingestor.ingest(partA());
  await worker.positions.save();
  expect(await lines('epoch', 'bump', 'test')).toMatchObject([{ source: 'test', epoch: 1 }]);
  expect(await lines('source', 'replace', 'test', 'next')).toMatchObject([
    { source: 'next', replaced: 'test', epoch: 2 },
  ]);
  // the rows belong to both names: they stay until the last of them is forgotten
  expect(await lines('source', 'forget', 'test')).toEqual([{ source: 'test', removed: 0 }]);
  expect(await lines('source', 'forget', 'next')).toEqual([{ source: 'next', removed: 1 }]);
  await worker.ingestor.park(partA().origin, 'not-a-change', 'why');
  expect(await lines('discard', 'parked', '--reason', 'not-a-change')).toEqual([
    { discarded: ['1'] },
  ]);
  expect(await lines('redeliver')).toEqual([{ taken: 0, left: 0, missing: [] }]);
});
