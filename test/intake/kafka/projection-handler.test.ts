import { expect } from 'vitest';
import type { Look } from '../../../src/intake/kafka/record-handler.ts';
import { ProjectionHandler } from '../../../src/intake/kafka/projection-handler.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { chunkOf, feedOn } from '../../support/feed.ts';
import { numbers, NUMBERS } from '../../support/numbers.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const OLD = 'a'.repeat(32);
const NEW = 'b'.repeat(32);

/** A projection on a topic whose content the test controls. */
async function destinationOn(db: TestDatabase, partitions = 1) {
  await db.query(NUMBERS);
  const definition = numbers() as never;
  const feed = await feedOn(db, definition, partitions);
  const said: string[] = [];
  const counted = { lost: 0, gone: 0 };
  const log = {
    info() {},
    warn() {},
    error: (_: object, message: string) => void said.push(message),
  };
  const handler = new ProjectionHandler(feed.database, 1, { id: feed.id, definition }, log, {
    onLost: (records) => (counted.lost += records),
    onGone: (gone) => (counted.gone += gone),
    onParked() {},
  });
  const begin = async (look: () => Look | Promise<Look>, isOwner = () => true) => {
    const committed = [{ partition: 0, offset: null, topicId: null }];
    const assignment = { committed, look: async () => look(), isOwner };
    const [start] = await handler.begin('numbers', assignment);
    return start;
  };
  return { feed, handler, begin, said, counted };
}

/** The topic with this number of records in each partition. */
const topicOf = (id: string | null, low: number, ...ends: number[]): Look => ({
  id,
  partitions: ends.map((_, partition) => partition),
  ranges: ends.map((high, partition) => ({ partition, low, high })),
});

const stored = (db: TestDatabase) =>
  db.query(
    'select partition, next::int, topic_id, problem from muster.position order by partition',
  );

test('a position that others advance while a process pauses after querying the topic is valid', async ({
  db,
}) => {
  const { feed, begin } = await destinationOn(db);
  await feed.give(
    0,
    [1, 2].map((n) => ({ n })),
  );
  const start = await begin(async () => {
    const seen = topicOf(OLD, 0, 2);
    // The pause: another process reads on, and the answer is old by then.
    await feed.give(
      0,
      [3, 4].map((n) => ({ n })),
    );
    return seen;
  });
  expect(start).toMatchObject({ next: 2, problem: null });
  expect(await stored(db)).toMatchObject([{ next: 4, problem: null }]);
  // what began in the past is refused at its first chunk
});

test('a recreated topic is detected by its id, and its partition rests until an operator decides', async ({
  db,
}) => {
  const { feed, begin, said } = await destinationOn(db);
  await feed.give(0, [{ n: 1 }]);
  expect(await begin(() => topicOf(OLD, 0, 1))).toMatchObject({ next: 1, problem: null });
  expect(await stored(db)).toMatchObject([{ next: 1, topic_id: OLD }]);
  const remade = 'record 0 of the topic is not the one that was read: the topic was recreated';
  expect(await begin(() => topicOf(NEW, 0, 5))).toMatchObject({ problem: remade });
  expect(await stored(db)).toMatchObject([{ next: 1, topic_id: OLD, problem: remade }]);
  expect(said).toEqual(["a partition rests until 'muster seek' sets its position"]);
});

test('a topic that was recreated before it was read is read', async ({ db }) => {
  const { begin } = await destinationOn(db);
  await begin(() => topicOf(OLD, 0, 0));
  expect(await begin(() => topicOf(NEW, 0, 5))).toMatchObject({ next: 0, problem: null });
  expect(await stored(db)).toEqual([{ partition: 0, next: 0, topic_id: NEW, problem: null }]);
});

test.for([
  ['of the same topic', OLD, /its log was truncated/],
  ['of a topic without an id', null, /was the topic recreated/],
] as const)(
  'a partition whose position is beyond the end %s rests while it is, and is checked again',
  async ([, id, why], { db }) => {
    const { feed, begin } = await destinationOn(db);
    await feed.give(
      0,
      [1, 2, 3].map((n) => ({ n })),
    );
    await begin(() => topicOf(id, 0, 3));
    const start = await begin(() => topicOf(id, 0, 2));
    expect(start?.problem).toMatch(why);
    expect(await stored(db)).toMatchObject([{ next: 3, problem: null }]);
    expect(await begin(() => topicOf(id, 0, 3))).toMatchObject({ next: 3, problem: null });
  },
);

test('a process that is no longer the owner decides nothing', async ({ db }) => {
  const { feed, begin, counted } = await destinationOn(db);
  await feed.give(0, [{ n: 1 }]);
  await begin(() => topicOf(OLD, 0, 1));
  let isOwner = true;
  const late = (now: Look) => () => {
    isOwner = false;
    return now;
  };
  expect(await begin(late(topicOf(NEW, 0, 5)), () => isOwner)).toBeUndefined();
  isOwner = true;
  expect(await begin(late(topicOf(OLD, 3, 5)), () => isOwner)).toBeUndefined();
  expect(await stored(db)).toEqual([{ partition: 0, next: 1, topic_id: OLD, problem: null }]);
  expect(counted.lost).toBe(0);
});

test('a partition rests only if its position is the one that was checked', async ({ db }) => {
  const { feed, handler } = await destinationOn(db);
  await feed.give(0, [{ n: 1 }]);
  await handler.rest('numbers', 0, 0, 'about the past');
  expect(await stored(db)).toMatchObject([{ next: 1, problem: null }]);
  await handler.rest('numbers', 0, 1, 'about now');
  expect(await stored(db)).toMatchObject([{ next: 1, problem: 'about now' }]);
});

test('positions of partitions that a recreated topic lacks are deleted, and unread records counted as lost', async ({
  db,
}) => {
  const { feed, handler, said, counted } = await destinationOn(db, 3);
  await db.query('update muster.position set topic_id = $1', [OLD]);
  await feed.give(2, [{ n: 1 }]);
  const report = (now: Look) => handler.report('numbers', [0, 1, 2], () => Promise.resolve(now));
  // Others may know of a partition that this broker does not know yet.
  await report({ ...topicOf(OLD, 0, 0, 0), partitions: [0, 1] });
  await report(topicOf(OLD, 0, 0, 0, 5));
  expect(await stored(db)).toHaveLength(3);
  await report(topicOf(null, 0, 0, 0));
  expect(await stored(db)).toHaveLength(3);
  await report(topicOf(NEW, 0, 0, 0));
  expect(await stored(db)).toMatchObject([{ partition: 0 }, { partition: 1 }]);
  expect(await db.query('select partition, first, next from muster.lost_records')).toEqual([
    { partition: 2, first: '1', next: '5' },
  ]);
  expect(counted).toEqual({ lost: 4, gone: 1 });
  expect(said).toEqual([expect.stringContaining('recreated without this partition')]);
});

test('a report is as old as the query of the topic, even after a pause', async ({ db }) => {
  const { feed, handler } = await destinationOn(db);
  await feed.give(0, [{ n: 1 }]);
  const [before] = await db.query<{ now: Date }>('select clock_timestamp() as now');
  let between: Date | undefined;
  await handler.report('numbers', [0], async () => {
    const [row] = await db.query<{ now: Date }>('select clock_timestamp() as now');
    between = row!.now;
    return topicOf(OLD, 0, 1);
  });
  const [{ reported_at: seen } = { reported_at: new Date(0) }] = await db.query<{
    reported_at: Date;
  }>('select reported_at from muster.position');
  expect(seen.getTime()).toBeGreaterThanOrEqual(before!.now.getTime());
  expect(seen.getTime()).toBeLessThanOrEqual(between!.getTime());
  // Another process has reported later, so an older report changes nothing.
  await db.query(
    `update muster.position set reported_at = now() + interval '1 minute', log_end = 9`,
  );
  await handler.report('numbers', [0], () => Promise.resolve(topicOf(OLD, 0, 1)));
  expect(await db.query('select log_end::int from muster.position')).toEqual([{ log_end: 9 }]);
});

test('a chunk does not end the partition, because its end is that of its fetch', async ({ db }) => {
  const { feed } = await destinationOn(db);
  const reportedAt = async () =>
    (
      await db.query<{ old: boolean }>(
        `select reported_at < now() - interval '1 minute' as old from muster.position`,
      )
    )[0]!.old;
  await db.query(`update muster.position set reported_at = now() - interval '1 hour'`);
  await feed.apply(chunkOf(0, [{ n: 1 }]));
  expect(await reportedAt()).toBe(true);
  await feed.apply({ ...chunkOf(1, [{ n: 1 }]), end: 9 });
  expect(await reportedAt()).toBe(false);
});

test('lost records are counted from a position that others have advanced', async ({ db }) => {
  const { feed, begin, counted } = await destinationOn(db);
  await feed.give(0, [{ n: 1 }]);
  const late = begin(async () => {
    await feed.give(0, [{ n: 2 }]);
    return topicOf(OLD, 5, 9);
  });
  await expect(late).rejects.toThrow('another process has moved the position of partition 0');
  expect(await stored(db)).toMatchObject([{ next: 2 }]);
  expect(await db.query('select from muster.lost_records')).toEqual([]);
  expect(counted.lost).toBe(0);

  expect(await begin(() => topicOf(OLD, 5, 9))).toMatchObject({ next: 5, lastTimestamp: null });
  // The timestamp of a deleted record is unknown.
  expect(await db.query('select next::int, last_timestamp from muster.position')).toEqual([
    { next: 5, last_timestamp: null },
  ]);
  expect(counted.lost).toBe(3);
});

test('a report waits for no chunk, and no end is before the position', async ({ db }) => {
  const { feed, handler } = await destinationOn(db);
  await feed.give(0, [{ n: 1 }, { n: 2 }]);
  const report = (high: number) =>
    handler.report('numbers', [0], () => Promise.resolve(topicOf(OLD, 0, high)));
  await report(1);
  expect(await db.query('select log_end::int from muster.position')).toEqual([{ log_end: 2 }]);
  const release = await hold(db, 'select from muster.position for update');
  const { positions } = await report(9);
  expect(positions).toEqual(new Map([[0, 2]]));
  await release();
  expect(await db.query('select log_end::int from muster.position')).toEqual([{ log_end: 2 }]);
});

test('a partition that two processes start at once is started once', async ({ db }) => {
  const { feed, begin } = await destinationOn(db, 0);
  const release = await hold(
    db,
    `insert into muster.position (function, topic, partition, next, log_end) values ($1, 'numbers', 0, 3, 3)`,
    [feed.id],
  );
  const begun = begin(() => topicOf(OLD, 1, 3));
  await blocked(db);
  await release();
  expect(await begun).toMatchObject({ next: 3, problem: null });
});

test('a position is assigned to a topic only if it was compared with it', async ({ db }) => {
  const { feed } = await destinationOn(db);
  await feed.give(0, [{ n: 1 }]);
  await feed.positions.adopt(0, 0, NEW);
  expect(await stored(db)).toMatchObject([{ topic_id: null }]);
  await feed.positions.rest(0, 'until somebody decides');
  await feed.positions.adopt(0, 1, NEW);
  expect(await stored(db)).toMatchObject([{ topic_id: null }]);
});
