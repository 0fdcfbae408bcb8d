/** Failovers of MySQL and MariaDB with GTIDs: the connector goes on at a server whose binlog has other positions. */
import fc from 'fast-check';
import { expect, onTestFinished } from 'vitest';
import { Random } from '../../../dev/lib/random.ts';
import { specify } from '../../../src/definitions/specification.ts';
import { binlogPosition } from '../../../src/state/binlog-position.ts';
import type { Gtid, RowChange } from '../../../src/state/change.ts';
import { bumpEpoch } from '../../../src/state/ingest/epochs.ts';
import {
  isNewTransaction,
  isOfNewServer,
  noteTransaction,
} from '../../../src/state/ingest/gtids.ts';
import { replaceSource } from '../../../src/state/ingest/sources.ts';
import { register } from '../../../src/state/registration/register.ts';
import { change as changeOf } from '../../support/changes.ts';
import { pairOf } from '../../support/pair.ts';
import { seededRuns } from '../../support/seeded.ts';
import { test, type TestDatabase } from '../../support/test.ts';
import { databaseOn, workerOn, workerWith, type TestWorker } from '../../support/worker.ts';

/** Number of histories; `MUSTER_SEED` repeats the same ones. */
const RUNS = Number(process.env['MUSTER_FAILOVER_RUNS'] ?? 60);
/** A whole second in the past, so that no commit time below is ahead of the clock. */
const T = Math.floor(Date.now() / 1_000) * 1_000 - 24 * 3_600_000;
const SECOND = 1_000;

interface Place {
  readonly file: number;
  readonly offset: number;
  /** Milliseconds after T at which the connector handled it; it was committed in the second before. */
  readonly handled: number;
  readonly gtid: string;
}

/** An update of row 1, of which `k` is the position, or a given one. */
const at = ({ file, offset, handled, gtid }: Place, k = `${file}:${offset}`, id = 1): RowChange =>
  changeOf(
    'u',
    1,
    { id, k, kind: 'a' },
    {
      lsn: binlogPosition(BigInt(file), BigInt(offset)),
      log: 'binlog',
      gtid: gtidOf(gtid),
      at: T + Math.floor(handled / SECOND) * SECOND,
      handledAt: T + handled,
    },
  );

/** Such as `0-1-5`, number 5 in domain 0 of MariaDB, by server 1; or `a:5` of MySQL. */
function gtidOf(text: string): Gtid {
  const [server, domain, number] = text.includes(':')
    ? [text.split(':')[0]!, ...text.split(':')]
    : [text.split('-')[1]!, text.split('-')[0]!, text.split('-')[2]!];
  return { domain: domain!, server, number: BigInt(number!) };
}

async function podOf(db: TestDatabase): Promise<TestWorker> {
  const worker = await workerOn(db, [pairOf()]);
  await worker.positions.register('test');
  return worker;
}

async function ingestAll(worker: TestWorker, changes: readonly RowChange[]): Promise<void> {
  for (const each of changes) {
    expect(await worker.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
  }
}

async function held(db: TestDatabase): Promise<string[]> {
  const rows = await db.query<{ key: string }>(
    'select key from muster.member join muster.sets using (function, key_hash) where in_set order by key',
  );
  return rows.map(({ key }) => key);
}

const epochs = (db: TestDatabase) => db.query('select epoch from muster.source');

test('a transaction that is new, and handled later, at a lower position begins an epoch, even in the same second', async ({
  db,
}) => {
  const worker = await podOf(db);
  const before = at({ file: 42, offset: 1_000, handled: 10_200, gtid: '0-1-7' });
  const after = at({ file: 7, offset: 300, handled: 10_900, gtid: '0-1-8' });
  expect(before.at).toBe(after.at);
  expect(await worker.ingestor.ingest(before)).toEqual({ kind: 'ingested' });
  expect(await worker.ingestor.ingest(after)).toEqual({ kind: 'ingested' });
  expect(await epochs(db)).toEqual([{ epoch: 1 }]);
  expect(await held(db)).toEqual(['7:300']);
  // delivered again
  expect(await worker.ingestor.ingest(before)).toEqual({ kind: 'ingested' });
  expect(await worker.ingestor.ingest(after)).toEqual({ kind: 'ingested' });
  expect(await held(db)).toEqual(['7:300']);
  expect(await epochs(db)).toEqual([{ epoch: 1 }]);
});

test('a new server whose binlog is many files ahead begins an epoch, too', async ({ db }) => {
  const worker = await podOf(db);
  const steps = [
    at({ file: 2, offset: 900, handled: 0, gtid: 'a:7' }),
    at({ file: 900, offset: 300, handled: 700, gtid: 'b:1' }),
    at({ file: 3, offset: 4, handled: 1_400, gtid: 'c:1' }),
  ];
  await ingestAll(worker, steps);
  expect(await epochs(db)).toEqual([{ epoch: 2 }]);
  expect(await held(db)).toEqual(['3:4']);
});

test('so does one that was the primary before, also with a transaction that is read again', async ({
  db,
}) => {
  const worker = await podOf(db);
  const steps = [
    at({ file: 2, offset: 900, handled: 0, gtid: 'a:7' }),
    at({ file: 3, offset: 4, handled: 700, gtid: 'b:1' }),
    at({ file: 900, offset: 300, handled: 1_400, gtid: 'a:8' }),
    at({ file: 2_000, offset: 200, handled: 2_100, gtid: 'a:8' }),
  ];
  await ingestAll(worker, steps);
  expect(await epochs(db)).toEqual([{ epoch: 3 }]);
  expect(await held(db)).toEqual(['2000:200']);
});

test.for([
  ['was overtaken', { file: 7, offset: 300, handled: 10_900, gtid: '0-1-6' }],
  ['is read again', { file: 42, offset: 900, handled: 10_900, gtid: '0-1-7' }],
  ['is late', { file: 42, offset: 900, handled: 10_100, gtid: '1-1-1' }],
] as const)('a transaction that %s begins none', async ([, place], { db }) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest(at({ file: 42, offset: 1_000, handled: 10_200, gtid: '0-1-7' }));
  expect(await worker.ingestor.ingest(at(place))).toEqual({ kind: 'ingested' });
  expect(await epochs(db)).toEqual([{ epoch: 0 }]);
  expect(await held(db)).toEqual(['42:1000']);
});

test('a log whose numbers start over waits for a person, also once it has passed them', async ({
  db,
}) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest(at({ file: 42, offset: 1_000, handled: 10_200, gtid: '0-1-2' }));
  const later = [1, 2, 3].map((n) =>
    at({ file: 1, offset: n * 100, handled: 20_000 + n, gtid: `0-1-${n}` }),
  );
  for (const each of later) {
    expect(await worker.ingestor.ingest(each)).toMatchObject({ reason: 'position-restarted' });
  }
  expect(await bumpEpoch(worker.database, 'test')).toMatchObject({ epoch: 1 });
  await worker.positions.exchange();
  for (const each of later.toReversed()) {
    expect(await worker.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
  }
  expect(await held(db)).toEqual(['1:300']);
});

test('after a person has begun an epoch, the numbers of transactions count from the beginning', async ({
  db,
}) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest(at({ file: 42, offset: 1_000, handled: 10_200, gtid: '0-1-50' }));
  const first = at({ file: 1, offset: 100, handled: 20_001, gtid: '0-1-1' });
  expect(await worker.ingestor.ingest(first)).toMatchObject({ reason: 'position-restarted' });
  await bumpEpoch(worker.database, 'test');
  await worker.positions.exchange();
  await worker.ingestor.ingest(first);
  await worker.ingestor.ingest(at({ file: 1, offset: 50, handled: 20_900, gtid: '0-1-2' }));
  expect(await epochs(db)).toEqual([{ epoch: 2 }]);
  expect(await held(db)).toEqual(['1:50']);
});

test('what was handled between the two servers belongs to the one whose transactions have it', async ({
  db,
}) => {
  const worker = await podOf(db);
  const ingest = async (place: Place, k: string) => {
    expect(await worker.ingestor.ingest(at(place, k, 1))).toEqual({ kind: 'ingested' });
    return held(db);
  };
  await ingest({ file: 42, offset: 1_000, handled: 10_000, gtid: '0-1-5' }, 'old');
  await ingest({ file: 7, offset: 900, handled: 20_000, gtid: '0-2-9' }, 'first of the new one');
  const versions = await db.query('select version >> 55 as epoch from muster.member where in_set');
  expect(versions).toEqual([{ epoch: '1' }]);
  // of the new one, before the first that arrived
  expect(await ingest({ file: 7, offset: 800, handled: 19_000, gtid: '0-1-8' }, 'earlier')).toEqual(
    ['first of the new one'],
  );
  const late = at({ file: 7, offset: 700, handled: 18_000, gtid: '0-1-7' }, 'other row', 2);
  await worker.ingestor.ingest(late);
  // of the old one, after the last that arrived, then read again, from either
  for (const [file, gtid] of [
    [43, '0-1-6'],
    [42, '0-1-4'],
    [7, '0-1-3'],
  ] as const) {
    const behind = at({ file, offset: 950, handled: 12_000, gtid }, 'older', 2);
    expect(await worker.ingestor.ingest(behind)).toEqual({ kind: 'ingested' });
  }
  expect(await held(db)).toEqual(['first of the new one', 'other row']);
  expect(await db.query('select from muster.parked')).toEqual([]);
});

test('several workers begin one epoch, and know the transactions of each other', async ({ db }) => {
  const workers = [await podOf(db), await podOf(db), await podOf(db)];
  await workers[0]!.ingestor.ingest(at({ file: 42, offset: 900, handled: 900, gtid: '0-1-5' }));
  await workers[1]!.ingestor.ingest(at({ file: 42, offset: 950, handled: 950, gtid: '1-1-1' }));
  for (const each of [...workers, ...workers]) await each.positions.exchange();
  for (let round = 1; round <= 10; round++) {
    const moved = workers.map((_, i) => {
      const n = 3 * round + i;
      const handled = 5_000 * round + i;
      return at({ file: 42 - round, offset: 100 + i, handled, gtid: `0-1-${5 + n}` });
    });
    await Promise.all(workers.map((worker, i) => worker.ingestor.ingest(moved[i]!)));
    expect(await epochs(db)).toEqual([{ epoch: round }]);
    expect(await held(db)).toEqual([`${42 - round}:102`]);
    for (const each of [...workers, ...workers]) await each.positions.exchange();
  }
  expect(await db.query('select gtids from muster.source')).toEqual([
    { gtids: { '0/1': '37', '1/1': '1' } },
  ]);
});

test('what the new server committed belongs to its epoch, also at a position behind the end of the old log', async ({
  db,
}) => {
  const worker = await podOf(db);
  const steps = [
    at({ file: 42, offset: 1_000, handled: 1_500, gtid: '0-1-5' }, 'other', 2),
    at({ file: 42, offset: 1_200, handled: 9_500, gtid: '0-2-8' }, 'another', 3),
    // from a partition that lags: the last of the old server, and the first of the new one
    at({ file: 42, offset: 1_900, handled: 2_000, gtid: '0-1-6' }, 'old'),
    at({ file: 42, offset: 1_100, handled: 9_400, gtid: '0-2-7' }, 'new'),
  ];
  await ingestAll(worker, steps);
  expect(await epochs(db)).toEqual([{ epoch: 1 }]);
  expect(await held(db)).toEqual(['another', 'new', 'other']);
});

test('a server that has come and gone while a partition lagged is undecidable, and its changes are parked', async ({
  db,
}) => {
  const worker = await podOf(db);
  const ingest = (place: Place, k: string, id: number) => worker.ingestor.ingest(at(place, k, id));
  await ingest({ file: 40, offset: 1_000, handled: 1_500, gtid: '0-1-5' }, 'one', 2);
  await ingest({ file: 30, offset: 100, handled: 9_000, gtid: '0-3-8' }, 'three', 2);
  expect(await ingest({ file: 35, offset: 100, handled: 5_000, gtid: '0-2-6' }, 'two', 1)).toEqual({
    kind: 'parked',
    reason: 'position-restarted',
    detail: `binlog position 000035:100 of source 'test' was handled at ${new Date(T + 5_000).toISOString()}, after ${new Date(T + 1_500).toISOString()}, the newest change seen before the source failed over, or was restored or recreated, and before ${new Date(T + 9_000).toISOString()}, the first change after that: it can't be determined from which of the two logs it is. To read the row as it is now, run an incremental snapshot of the table`,
  });
  expect(
    await ingest({ file: 25, offset: 100, handled: 5_100, gtid: '0-2-6' }, 'two', 1),
  ).toMatchObject({ reason: 'position-restarted' });
  await ingest({ file: 30, offset: 90, handled: 8_900, gtid: '0-3-7' }, 'last', 1);
  expect(await held(db)).toEqual(['last', 'three']);
});

test('the first change of an epoch is its newest position, also if its worker dies at once', async ({
  db,
}) => {
  const [one, two] = [await podOf(db), await podOf(db)];
  await one.ingestor.ingest(at({ file: 42, offset: 1_000, handled: 1_500, gtid: '0-1-5' }));
  await one.ingestor.ingest(at({ file: 7, offset: 300, handled: 9_000, gtid: '0-2-6' }));
  // the other worker has seen nothing of the second server
  await two.positions.exchange();
  await two.ingestor.ingest(at({ file: 3, offset: 4, handled: 12_000, gtid: '0-2-7' }));
  expect(await epochs(db)).toEqual([{ epoch: 2 }]);
  expect(await held(db)).toEqual(['3:4']);
});

test('what the old server committed is parked if both logs may have it at nearly the same position', async ({
  db,
}) => {
  const worker = await podOf(db);
  const steps: [Place, string, number, string][] = [
    [{ file: 42, offset: 1_000, handled: 1_500, gtid: '0-1-5' }, 'five', 2, 'ingested'],
    [{ file: 42, offset: 2_100, handled: 9_500, gtid: '0-2-8' }, 'eight', 2, 'ingested'],
    [{ file: 42, offset: 4_000, handled: 2_000, gtid: '0-1-6' }, 'six', 1, 'ingested'],
    [{ file: 42, offset: 2_000, handled: 9_400, gtid: '0-1-7' }, 'seven', 1, 'parked'],
  ];
  for (const [place, k, id, kind] of steps) {
    expect(await worker.ingestor.ingest(at(place, k, id))).toMatchObject({ kind });
  }
  // a log that is files ahead is above all of the old one in any epoch
  await worker.ingestor.ingest(
    at({ file: 50, offset: 500, handled: 20_000, gtid: '0-3-10' }, 'ten', 2),
  );
  const nine = at({ file: 50, offset: 400, handled: 19_000, gtid: '0-2-9' }, 'nine', 1);
  expect(await worker.ingestor.ingest(nine)).toEqual({ kind: 'ingested' });
  expect(await held(db)).toEqual(['nine', 'ten']);
});

test('a transaction that was cut off by the failover goes on in the new epoch', async ({ db }) => {
  const worker = await podOf(db);
  const ingest = async (place: Place, k: string, id: number) =>
    expect(await worker.ingestor.ingest(at(place, k, id))).toEqual({ kind: 'ingested' });
  await ingest({ file: 42, offset: 900, handled: 1_000, gtid: '0-1-4' }, 'four', 2);
  await ingest({ file: 42, offset: 1_000, handled: 1_500, gtid: '0-1-5' }, 'five', 1);
  // the second row of the same transaction, which the connector has not read from the old server
  await ingest({ file: 7, offset: 800, handled: 9_000, gtid: '0-1-5' }, 'five too', 2);
  expect(await epochs(db)).toEqual([{ epoch: 1 }]);
  expect(await held(db)).toEqual(['five', 'five too']);
});

test('of a transaction that was cut off, each part belongs to its log', async ({ db }) => {
  const worker = await podOf(db);
  const ingest = async (place: Place, k: string, id: number) =>
    expect(await worker.ingestor.ingest(at(place, k, id))).toEqual({ kind: 'ingested' });
  await ingest({ file: 42, offset: 900, handled: 1_000, gtid: '0-1-4' }, 'four', 2);
  await ingest({ file: 42, offset: 1_000, handled: 1_500, gtid: '0-1-5' }, 'five', 1);
  await ingest({ file: 7, offset: 900, handled: 9_500, gtid: '0-2-6' }, 'six', 3);
  // from partitions that lag
  await ingest({ file: 7, offset: 801, handled: 9_000, gtid: '0-1-5' }, 'five too', 2);
  await ingest({ file: 42, offset: 1_001, handled: 1_501, gtid: '0-1-5' }, 'old', 2);
  expect(await held(db)).toEqual(['five', 'five too', 'six']);
});

test('a transaction with statements of different times, read again, is not a log that starts over', async ({
  db,
}) => {
  const worker = await podOf(db);
  const place = { file: 42, gtid: '0-1-5' };
  await worker.ingestor.ingest(at({ ...place, offset: 1_000, handled: 13_500 }, 'x', 1));
  const second = at({ ...place, offset: 1_010, handled: 13_501 }, 'y', 2);
  await worker.ingestor.ingest({ ...second, at: T + 16_000 });
  const again = at({ ...place, offset: 990, handled: 30_000 }, 'y', 2);
  expect(await worker.ingestor.ingest({ ...again, at: T + 16_000 })).toEqual({ kind: 'ingested' });
});

test('what a new server reads again is not the end of the old log', async ({ db }) => {
  const worker = await podOf(db);
  const steps = [
    at({ file: 300, offset: 100, handled: 1_000, gtid: '0-1-1' }, 'one'),
    at({ file: 310, offset: 25, handled: 5_129, gtid: '0-1-1' }, 'one'),
    at({ file: 310, offset: 45, handled: 5_542, gtid: '0-2-3' }, 'three', 2),
    // from a partition that lags
    at({ file: 310, offset: 35, handled: 5_371, gtid: '0-1-2' }, 'two'),
  ];
  await ingestAll(worker, steps);
  expect(await held(db)).toEqual(['three', 'two']);
});

test('a worker that has not heard of a new epoch begins no other one', async ({ db }) => {
  const [one, two] = [await podOf(db), await podOf(db)];
  await one.ingestor.ingest(at({ file: 42, offset: 900, handled: 900, gtid: '0-1-5' }));
  for (const each of [one, two]) await each.positions.exchange();
  await one.ingestor.ingest(at({ file: 7, offset: 100, handled: 5_000, gtid: '0-2-6' }));
  await two.ingestor.ingest(at({ file: 7, offset: 200, handled: 5_001, gtid: '0-2-7' }));
  expect(await epochs(db)).toEqual([{ epoch: 1 }]);
  expect(await held(db)).toEqual(['7:200']);
});

test('between two servers, a position that neither log can have is parked', async ({ db }) => {
  const worker = await podOf(db);
  await worker.ingestor.ingest(at({ file: 42, offset: 1_000, handled: 1_500, gtid: '0-1-5' }));
  await worker.ingestor.ingest(
    at({ file: 7, offset: 60, handled: 9_500, gtid: '0-3-9' }, 'new', 2),
  );
  // read from a server between the two, which committed nothing
  const between = at({ file: 20, offset: 100, handled: 5_000, gtid: '0-1-8' }, 'between', 2);
  expect(await worker.ingestor.ingest(between)).toMatchObject({ reason: 'position-restarted' });
  expect(await held(db)).toEqual(['42:1000', 'new']);
});

test('a source has at most 254 epochs', async ({ db }) => {
  const worker = await podOf(db);
  const old = at({ file: 42, offset: 1_000, handled: 1_500, gtid: '0-1-5' });
  await worker.ingestor.ingest(old);
  await worker.positions.exchange();
  await db.query('update muster.source set first_epoch = 254');
  await worker.positions.exchange();
  const moved = at({ file: 7, offset: 300, handled: 9_500, gtid: '0-2-6' });
  expect(await worker.ingestor.ingest(moved)).toMatchObject({ reason: 'position-restarted' });
  const isLast = /^the source 'test' is in its last epoch, 254\. To count from 0 again, run: /;
  await expect(bumpEpoch(worker.database, 'test')).rejects.toThrow(isLast);
  await expect(replaceSource(worker.database, 'test', 'successor')).rejects.toThrow(isLast);
});

test('numbers of transactions are compared as numbers, and beyond 64 servers there are no new ones', () => {
  const gtids = new Map<string, bigint>();
  expect(noteTransaction(gtids, gtidOf('0-1-9'))).toBe(true);
  expect(noteTransaction(gtids, gtidOf('0-1-10'))).toBe(true);
  expect(noteTransaction(gtids, gtidOf('0-1-10'))).toBe(false);
  expect(isNewTransaction(gtids, gtidOf('0-2-10'))).toBe(false);
  expect(isNewTransaction(gtids, gtidOf('0-2-9007199254740993'))).toBe(true);
  for (let n = 1; n < 64; n++) noteTransaction(gtids, gtidOf(`${n}-1-1`));
  expect(isNewTransaction(gtids, gtidOf('64-1-1'))).toBe(false);
  expect(isOfNewServer(gtids, gtidOf('99-1-1'))).toBe(false);
  expect(isOfNewServer(gtids, gtidOf('63-2-2'))).toBe(true);
  expect(noteTransaction(gtids, gtidOf('64-1-1'))).toBe(false);
  expect(isNewTransaction(gtids, gtidOf('63-1-2'))).toBe(true);
  // not kept, so it would be new each time
  expect(isNewTransaction(gtids, gtidOf('63-2-2'))).toBe(false);
});

test('the first transaction of another server begins an epoch, at any position; a second server of the same log, one', async ({
  db,
}) => {
  const worker = await podOf(db);
  const steps = [
    at({ file: 42, offset: 1_000, handled: 1_500, gtid: '0-1-5' }),
    at({ file: 42, offset: 1_200, handled: 9_500, gtid: '0-2-6' }),
    at({ file: 42, offset: 1_400, handled: 9_600, gtid: '0-1-7' }),
    at({ file: 42, offset: 1_600, handled: 9_700, gtid: '0-2-8' }),
  ];
  for (const each of steps) await worker.ingestor.ingest(each);
  // the old server's log went further than this process knew
  const last = at({ file: 42, offset: 1_900, handled: 2_000, gtid: '0-1-6' });
  expect(await worker.ingestor.ingest(last)).toEqual({ kind: 'ingested' });
  expect(await epochs(db)).toEqual([{ epoch: 1 }]);
  expect(await held(db)).toEqual(['42:1600']);
});

const history = fc.record({
  /** What happens, with 1 to 3 changed rows in each transaction. */
  steps: fc.array(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({ rows: fc.array(fc.nat(2), { minLength: 1, maxLength: 3 }) }),
      },
      { weight: 2, arbitrary: fc.constant('read' as const) },
      { weight: 1, arbitrary: fc.constant('connector restarts' as const) },
      { weight: 2, arbitrary: fc.constant('failover' as const) },
      { weight: 1, arbitrary: fc.constant('switchover' as const) },
    ),
    { minLength: 3, maxLength: 25 },
  ),
  /** Whether each server numbers its own transactions, as those of MySQL do. */
  mysql: fc.boolean(),
  /** How many messages of a partition may be under way at once. Those of one server are done when another is read. */
  window: fc.constantFrom(1, 1, 3),
  schedule: fc.nat(),
});
type History = typeof history extends fc.Arbitrary<infer H> ? H : never;

interface Message extends Place {
  readonly server: number;
  readonly row: number;
  readonly k: string;
  /** Milliseconds after T. */
  readonly committed: number;
}

/** Plays a history; returns the messages in the order in which the connector emitted them, and the final rows. */
function happen({ steps, mysql }: History, random: Random) {
  const log: { gtid: string; commit: number; changes: { row: number; k: string }[] }[] = [];
  const truth = new Map<number, string>();
  const messages: Message[] = [];
  const files = Array.from({ length: 40 }, (_, i) => 20 * (i + 1));
  let clock = 0;
  let values = 0;
  let server = newServer(0);
  let [read, flushed] = [0, 0];
  change([0]);
  emit();

  /** Where a server has each transaction, in the order of the log: in files that no other server has. */
  function newServer(number: number) {
    const file = files.splice(random.between(0, files.length - 1), 1)[0]!;
    return { number, file, offset: random.between(4, 50), places: [] as [number, number][] };
  }
  function placesOn(of: typeof server): void {
    while (of.places.length < log.length) {
      if (random.chance(0.1)) [of.file, of.offset] = [of.file + 1, 4];
      of.places.push([of.file, of.offset]);
      of.offset += 10;
    }
  }
  function emit(): void {
    placesOn(server);
    for (; read < log.length; read++) {
      clock += random.between(1, 300);
      const { gtid, changes, commit: committed } = log[read]!;
      const [file, offset] = server.places[read]!;
      for (const [i, each] of changes.entries()) {
        const place = { file, offset: offset + i, handled: clock, committed, gtid };
        messages.push({ ...each, ...place, server: server.number });
      }
      if (random.chance(0.3)) flushed = read + 1;
    }
  }
  /** The connector loses the server in the middle of a transaction. */
  function emitPart(): void {
    placesOn(server);
    if (read === log.length) return;
    clock += random.between(1, 300);
    const { gtid, changes, commit: committed } = log[read]!;
    const [file, offset] = server.places[read]!;
    const place = { file, offset, handled: clock, committed, gtid };
    messages.push({ ...changes[0]!, ...place, server: server.number });
  }
  for (const step of steps) {
    clock += random.between(1, 400);
    if (step === 'read') emit();
    else if (step === 'connector restarts') read = flushed;
    else if (step === 'switchover') {
      // everything is read, and nothing again, so that the positions of both servers may be the same
      emit();
      flushed = read;
      const { number, file, offset } = server;
      server = {
        number: number + 1,
        file,
        offset: Math.max(4, offset + random.between(-50, 50)),
        places: [],
      };
      server.places.push(...log.map((): [number, number] => [0, 0]));
    } else if (step === 'failover') {
      if (random.chance(0.3)) emitPart();
      read = flushed;
      const next = newServer(server.number + 1);
      placesOn(next);
      server = next;
    } else change(step.rows);
  }
  emit();
  return { messages, truth };

  function change(rows: readonly number[]): void {
    const changes = rows.map((row) => ({ row, k: `v${++values}` }));
    for (const { row, k } of changes) truth.set(row, k);
    const own = `server-${server.number}:`;
    const gtid = mysql
      ? `${own}${log.filter((each) => each.gtid.startsWith(own)).length + 1}`
      : `0-${server.number}-${log.length + 1}`;
    log.push({ gtid, commit: clock, changes });
  }
}

/**
 * Whether a message may arrive, in histories in which no partition lags so far that a server has come and gone: what was
 * read before the last failover but one has arrived, and something of each server before the one that committed it.
 */
function mayArrive(message: Message, left: readonly Message[], all: readonly Message[]): boolean {
  const by = ({ gtid }: Message) => Number(gtidOf(gtid).server.replace('server-', ''));
  const arrived = all.filter((each) => !left.includes(each));
  const last = message.server - 1;
  const hasSeenLast = arrived.some((each) => each.server === last && by(each) === last);
  return (
    left.every((each) => each.server >= last) &&
    (hasSeenLast || left.every((each) => each.server !== last)) &&
    left.every((each) => by(each) >= by(message) || arrived.some((other) => by(other) === by(each)))
  );
}

test(
  'after any failovers and restarts of the connector, each row ends where its source has it',
  { timeout: 300_000 + RUNS * 1_000 },
  async ({ db }) => {
    const databases = [databaseOn(db, 1), databaseOn(db, 1)];
    onTestFinished(async () => void (await Promise.all(databases.map((each) => each.close()))));
    const tally = { histories: 0, epochs: 0, rows: 0, parked: 0 };
    await fc.assert(
      fc.asyncProperty(history, async (plan) => {
        const random = new Random(plan.schedule);
        const pick = <T>(of: readonly T[]) => of[random.between(0, of.length - 1)]!;
        const source = `f${++tally.histories}`;
        const table = `public.${source}`;
        const { messages, truth } = happen(plan, random);
        const part = { table, key: 'k', where: { kind: 'a' } } as const;
        const definition = pairOf({
          name: source,
          parts: { a: part, b: { ...part, where: { kind: 'b' } } },
        });
        const served = await register(databases[0]!, specify(definition));
        const workers = await Promise.all(databases.map((each) => workerWith(each, [served])));

        const partitions = [0, 1, 2].map((row) => messages.filter((each) => each.row === row));
        const parked = new Set<number>();
        const deliver = async (message: Message) => {
          const worker = pick(workers);
          const { row, k } = message;
          const seconds = Math.floor(message.committed / SECOND);
          const sent = { ...at(message, k, row), at: T + seconds * SECOND, source, stream: table };
          const outcome = await worker.ingestor.ingest(sent);
          if (outcome.kind === 'parked') parked.add(row);
          for (const each of [worker, ...workers]) await each.positions.exchange();
        };
        // something is known of the first server before there is another one
        await deliver(partitions[0]!.shift()!);
        for (let left = partitions; (left = left.filter((each) => each.length > 0)).length > 0;) {
          const may = (each: Message) => mayArrive(each, left.flat(), messages);
          const partition = pick(left.filter(([head]) => may(head!)));
          const underWay = partition
            .slice(0, plan.window)
            .filter((each) => each.server === partition[0]!.server && may(each));
          const [message] = partition.splice(partition.indexOf(pick(underWay)), 1);
          await deliver(message!);
        }
        const rows = await db.query<{ id: string; key: string }>(
          `select m.id, s.key from muster.member m join muster.sets s using (function, key_hash)
         join muster.function f on f.id = m.function where m.in_set and f.name = $1`,
          [source],
        );
        // of a row with a parked change, more is to be done
        tally.parked += parked.size;
        tally.rows += truth.size;
        const stored = rows.map(({ id, key }) => [Number(id), key] as const);
        const sure = (all: readonly (readonly [number, string])[]) =>
          new Map(all.filter(([row]) => !parked.has(row)).toSorted(([a], [b]) => a - b));
        expect(sure(stored)).toEqual(sure([...truth]));
        const [{ epoch } = { epoch: 0 }] = await db.query<{ epoch: number }>(
          'select epoch from muster.source where name = $1',
          [source],
        );
        tally.epochs += epoch;
      }),
      seededRuns(RUNS),
    );
    console.info(tally);
    expect(tally.epochs).toBeGreaterThan(RUNS / 6);
    expect(tally.parked / tally.rows).toBeLessThan(0.4);
  },
);
