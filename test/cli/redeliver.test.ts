import { expect } from 'vitest';
import recordings from '../../functions/recordings.ts';
import { specify } from '../../src/definitions/specification.ts';
import { register } from '../../src/state/registration/register.ts';
import { engineOn, serverOn } from '../support/engine.ts';
import { change } from '../support/changes.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { databaseOn, workerOn } from '../support/worker.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { muster as command } from './command.ts';

const other = { ...pairOf({ name: 'other' }), parts: { a: { table: 'public.other', key: 'k' } } };
const HEADERS = {
  'ce-specversion': '1.0',
  'ce-source': '/test',
  'ce-type': 'dev.knative.kafka.event',
};

const muster = (db: TestDatabase, ...args: string[]) => command({ DATABASE_URL: db.url }, args);

/** Returns the body of an event of the table `item`; without a position (null) it is parked. */
function envelope(lsn: number | null, after: object): string {
  const source = { name: 'pg', schema: 'public', table: 'item', lsn, ts_ms: Date.now() };
  return JSON.stringify({ op: 'c', before: null, after, source });
}

const parkedIds = async (db: TestDatabase) =>
  (await db.query<{ id: string }>('select id from muster.parked order by id')).map(({ id }) => id);

test('a worker of another function rejects a parked event, which stays parked', async ({ db }) => {
  const mine = await serverOn(db, [pairOf()]);
  const theirs = await serverOn(db, [other]);
  // the second position is far ahead in the log: parked by `mine` until the known position has advanced
  const post = (id: string, lsn: number, at: number) =>
    fetch(mine.url, {
      method: 'POST',
      headers: { ...HEADERS, 'ce-id': id },
      body: JSON.stringify({
        op: 'c',
        before: null,
        after: { id, k: 'x', kind: 'a' },
        source: { name: 'pg', schema: 'public', table: 'item', lsn, ts_ms: at },
      }),
    });
  const now = Date.now();
  await post('1', 1_000, now);
  expect((await post('2', 5_000_000_000, now)).status).toBe(202);
  expect(await muster(db, 'redeliver', '--to', theirs.url)).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(
      /421\t.*addressed to pair; served here: other[^]*0 redelivered, 1 left/,
    ),
  });
  expect(await parkedIds(db)).toHaveLength(1);
  // other rows advance the known position
  await post('3', 1_000_000_000, now + 10_000);
  await post('4', 4_500_000_000, now + 20_000);
  expect(await muster(db, 'redeliver', '--to', mine.url)).toMatchObject({
    code: 0,
    stdout: '1 redelivered, 0 left\n',
  });
  expect(await parkedIds(db)).toEqual([]);
  await Promise.all([mine.stop(), theirs.stop()]);
});

test('an event that is answered with success but not ingested stays parked', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const origin = {
    attributes: { specversion: '1.0', id: '1', source: '/test', type: 'dev.knative.kafka.event' },
    contentType: null,
    body: Buffer.from(
      JSON.stringify({
        op: 'c',
        after: { id: 1, k: 'x' },
        source: { name: 'pg', schema: 'public', table: 'gone', lsn: 1, ts_ms: Date.now() },
      }),
    ),
  };
  await worker.ingestor.park(origin, 'bad-value', 'of a table that no part wants any more');
  const server = await serverOn(db, [pairOf()]);
  expect(await muster(db, 'redeliver', '--to', server.url)).toMatchObject({
    code: 1,
    stdout:
      '1\t204\tunwanted: no function there uses it; to give it up: muster discard parked 1\n0 redelivered, 1 left\n',
  });
  expect(await parkedIds(db)).toEqual(['1']);
  await server.stop();
});

test('redeliver and discard report which events do not exist', async ({ db }) => {
  expect(await muster(db, 'redeliver', '99999')).toEqual({
    code: 1,
    stdout: '0 redelivered, 0 left\n',
    stderr: 'muster: no such parked event: 99999\n',
  });
  expect(await muster(db, 'redeliver', '--reason', 'typo')).toMatchObject({
    code: 1,
    stderr: 'muster: no event is parked for the reason typo\n',
  });
  expect(await muster(db, 'discard', 'parked', '7')).toEqual({
    code: 1,
    stdout: '0 events discarded\n',
    stderr: 'muster: no such parked event: 7\n',
  });
  expect(await muster(db, 'discard', 'parked')).toMatchObject({ code: 2 });
});

test('parked events are discarded by number or reason', async ({ db }) => {
  const server = await serverOn(db, [pairOf()]);
  for (const id of ['1', '2', '3']) {
    const body = envelope(null, { id, k: 'x', kind: 'a' });
    await fetch(server.url, { method: 'POST', headers: { ...HEADERS, 'ce-id': id }, body });
  }
  await server.stop();
  const [first] = await parkedIds(db);
  expect(await parkedIds(db)).toHaveLength(3);
  const [{ reason }] = (await db.query('select reason from muster.parked limit 1')) as [
    { reason: string },
  ];
  expect(await muster(db, 'discard', 'parked', first!)).toMatchObject({
    code: 0,
    stdout: '1 event discarded\n',
  });
  expect(await muster(db, 'discard', 'parked', '--reason', reason)).toMatchObject({
    code: 0,
    stdout: '2 events discarded\n',
  });
  expect(await parkedIds(db)).toEqual([]);
});

test('a discarded run counts as done, and changes of its set do not run it again', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  await worker.runs.fail(worker.leases.splice(0)[0]!, 'no stock', null);
  expect(await muster(db, 'discard', 'runs', 'pair', 'y')).toMatchObject({
    code: 1,
    stderr: "muster: pair y has not failed; see: muster explain pair 'y'\n",
  });
  expect(await muster(db, 'discard', 'runs', 'pair', 'x')).toEqual({
    code: 0,
    stdout: '1 run discarded\n',
    stderr: '',
  });
  expect((await muster(db, 'explain', 'pair', 'x')).stdout).toContain(
    'last error: discarded by a person; the last error: no stock',
  );
  await worker.ingestor.ingest(change('c', 1e6, { id: 9, k: 'x', kind: 'a' }));
  expect(worker.leases).toEqual([]);
  expect(await worker.runs.claim(1, worker.id, 1)).toEqual([]);
});

test('retry --now starts the next attempt of a set in back-off, which keeps its count', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA(), partB()]) await worker.ingestor.ingest(each);
  await worker.runs.fail(worker.leases.splice(0)[0]!, 'again', 3_600_000);
  expect(await worker.runs.claim(1, worker.id, 1)).toEqual([]);
  expect(await muster(db, 'retry', 'pair', 'x')).toMatchObject({ code: 1 });
  expect(await muster(db, 'retry', 'pair', 'x', '--now')).toMatchObject({
    code: 0,
    stdout: '1 set is due now\n',
  });
  expect(await worker.runs.claim(1, worker.id, 1)).toMatchObject([{ key: 'x', attempt: 2 }]);
  expect(await muster(db, 'retry', 'pair', 'x', '--now')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('pair x is not waiting for another attempt'),
  });
});

test('resynced clears the unsynced state of a part that was read again', async ({ db }) => {
  await workerOn(db, [pairOf()]);
  await workerOn(db, [pairOf({ parts: { a: { table: 'public.item', key: 'k' } } })]);
  expect((await muster(db, 'explain', 'pair', 'x')).stdout).toMatch(
    /a: missing\n {4}the part is new or changed: rows unchanged since \S+ are missing/,
  );
  expect(await muster(db, 'resynced', 'pair', 'b')).toMatchObject({
    code: 1,
    stderr: 'muster: pair has no part b that waits for its table to be read\n',
  });
  expect(await muster(db, 'resynced', 'pair')).toEqual({
    code: 0,
    stdout: 'pair: all rows are present for a\n',
    stderr: '',
  });
});

test('migrate reports which parts need their table to be read again', async ({ db }) => {
  const database = databaseOn(db);
  const now = specify(recordings);
  const parts = now.parts.map((part) => ({ ...part, where: { sensor_type: 'other' } }));
  await register(database, { ...now, parts });
  await database.close();
  const env = { DATABASE_URL: db.url, FUNCTIONS: 'recordings' };
  const { code, stdout } = await command(env, ['migrate']);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /registered: recordings, generation 2\nrecordings: part eeg is new or changed and knows only rows of datastore.signal that changed since \S+: have the connector read the table again \(an incremental snapshot\), then 'muster resynced recordings eeg'/,
  );
});

test('an engine whose functions are no longer registered is not ready', async ({ db }) => {
  const engine = await engineOn(db, [pairOf()], { LEASE_SECONDS: '3' });
  await db.query('delete from muster.part');
  await db.query('delete from muster.definition');
  await db.query('delete from muster.function');
  await expect(engine.ingestor.ingest(partA())).rejects.toMatchObject({ reason: 'superseded' });
  expect(engine.unready()).toContain('not registered in this state database');
  await engine.stop();
});
