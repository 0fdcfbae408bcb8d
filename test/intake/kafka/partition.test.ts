import { expect, test } from 'vitest';
import type { RecordHandler } from '../../../src/intake/kafka/record-handler.ts';
import { Semaphore } from '../../../src/lib/semaphore.ts';
import { PartitionReader, type PartitionEvents } from '../../../src/intake/kafka/partition.ts';
import type { RecordChunk } from '../../../src/state/projections/chunks.ts';
import { recordOf } from '../../support/feed.ts';
import { until } from '../../support/until.ts';

/** A handler whose chunks wait until the test decides their result. */
function handlerOf(more: Partial<RecordHandler> = {}) {
  const asked: { chunk: RecordChunk; settle: (next: number | null | Error) => void }[] = [];
  const handler: RecordHandler = {
    name: 'numbers',
    topics: ['numbers'],
    chunkRecords: 10,
    chunkBytes: 1_000,
    lingerMs: 0,
    semaphore: new Semaphore(1),
    begin: () => Promise.resolve([]),
    rest: () => Promise.resolve(),
    report: () => Promise.resolve({ paused: false, positions: new Map() }),
    handle: (chunk) =>
      new Promise((resolve, reject) => {
        asked.push({
          chunk,
          settle: (next) => (next instanceof Error ? reject(next) : resolve(next)),
        });
      }),
    ...more,
  };
  return { handler, asked };
}

function readerOf(handler: RecordHandler, limit = 1_000_000, partition = 0) {
  const seen: string[] = [];
  const events: PartitionEvents = {
    full: (isFull) => seen.push(isFull ? 'full' : 'room'),
    taken: ({ from, next }) => seen.push(`taken ${from}-${next}`),
    failed: ({ from, next }) => seen.push(`failed ${from}-${next}`),
    moved: (next) => seen.push(`moved ${next}`),
  };
  const place = { topic: 'numbers', partition, next: 0 };
  return { reader: new PartitionReader(place, handler, limit, events), seen };
}

/** Records of one fetch from an offset on, with this number of bytes each. */
const fetched = (from: number, count: number, bytes = 1) => ({
  records: Array.from({ length: count }, (_, i) => recordOf(from + i, i)),
  bytes: count * bytes,
  next: from + count,
  end: 100,
});

const cutOf = ({ chunk }: { chunk: RecordChunk }) => ({
  from: chunk.from,
  next: chunk.next,
  offsets: chunk.records.map(({ offset }) => offset),
});
const range = (from: number, next: number) =>
  Array.from({ length: next - from }, (_, i) => from + i);

test('records that arrive while a chunk is being committed form the next chunk, up to its limit', async () => {
  const { handler, asked } = handlerOf();
  const { reader, seen } = readerOf(handler);
  reader.push(fetched(0, 3));
  await until(() => asked.length === 1);
  reader.push(fetched(3, 4));
  reader.push(fetched(7, 8));
  asked[0]!.settle(3);
  await until(() => asked.length === 2);
  asked[1]!.settle(13);
  await until(() => asked.length === 3);
  asked[2]!.settle(15);
  await until(() => reader.next === 15);
  expect(asked.map(cutOf)).toEqual([
    { from: 0, next: 3, offsets: range(0, 3) },
    { from: 3, next: 13, offsets: range(3, 13) },
    { from: 13, next: 15, offsets: range(13, 15) },
  ]);
  expect(seen).toEqual(['taken 0-3', 'taken 3-13', 'taken 13-15']);
  await reader.stop();
});

test('a chunk continues over offsets without records', async () => {
  const { handler, asked } = handlerOf();
  const { reader } = readerOf(handler);
  reader.push({ records: [], bytes: 0, next: 4, end: 100 });
  await until(() => asked.length === 1);
  reader.push({ ...fetched(6, 2), next: 9 });
  asked[0]!.settle(4);
  await until(() => asked.length === 2);
  expect(asked.map(cutOf)).toEqual([
    { from: 0, next: 4, offsets: [] },
    { from: 4, next: 9, offsets: [6, 7] },
  ]);
  asked[1]!.settle(9);
  await reader.stop();
});

test('a chunk is limited by bytes too, but a large record is a chunk of its own', async () => {
  const { handler, asked } = handlerOf();
  const { reader } = readerOf(handler);
  reader.push(fetched(0, 1, 5_000));
  reader.push(fetched(1, 2, 400));
  reader.push(fetched(3, 2, 400));
  for (const next of [1, 3, 5]) {
    await until(() => asked.at(-1)?.chunk.next === next);
    asked.at(-1)!.settle(next);
  }
  await until(() => reader.next === 5);
  expect(asked.map(({ chunk }) => chunk.records.length)).toEqual([1, 2, 2]);
  await reader.stop();
});

test('a failed chunk is retried unchanged, because it may have been committed', async () => {
  const { handler, asked } = handlerOf();
  const { reader, seen } = readerOf(handler);
  reader.push(fetched(0, 3));
  await until(() => asked.length === 1);
  reader.push(fetched(3, 3));
  asked[0]!.settle(new Error('no answer'));
  await until(() => asked.length === 2);
  expect(reader.isFailing).toBe(true);
  asked[1]!.settle(3);
  await until(() => asked.length === 3);
  expect(asked.map(({ chunk: { from, next } }) => [from, next])).toEqual([
    [0, 3],
    [0, 3],
    [3, 6],
  ]);
  expect(reader.isFailing).toBe(false);
  asked[2]!.settle(6);
  await reader.stop();
  expect(seen).toEqual(['failed 0-3', 'taken 0-3', 'taken 3-6']);
});

test('a reader whose position was moved accepts no more records', async () => {
  const { handler, asked } = handlerOf();
  const { reader, seen } = readerOf(handler);
  reader.push(fetched(0, 30));
  await until(() => asked.length === 1);
  asked[0]!.settle(77);
  await until(() => seen.length > 0);
  expect(seen).toEqual(['moved 77']);
  expect(reader.next).toBe(0);
  await reader.stop();
  expect(asked).toHaveLength(1);
});

test('a full reader reports that once, and again when half of it is handled', async () => {
  const { handler, asked } = handlerOf();
  const { reader, seen } = readerOf(handler, 20_000);
  reader.push(fetched(0, 40, 100));
  expect(reader.isFull).toBe(true);
  for (const next of [10, 20, 30, 40]) {
    await until(() => asked.at(-1)?.chunk.next === next);
    asked.at(-1)!.settle(next);
  }
  await until(() => reader.next === 40);
  expect(seen).toEqual(['full', 'taken 0-10', 'room', 'taken 10-20', 'taken 20-30', 'taken 30-40']);
  await reader.stop();
});

test('a stop waits for the chunk in progress and starts no other', async () => {
  const { handler, asked } = handlerOf();
  const { reader } = readerOf(handler);
  reader.push(fetched(0, 30));
  await until(() => asked.length === 1);
  const stopped = reader.stop();
  asked[0]!.settle(10);
  await stopped;
  expect(reader.next).toBe(10);
  expect(asked).toHaveLength(1);
});

test('partitions wait for the semaphore, and a held one takes no turn', async () => {
  const { handler, asked } = handlerOf();
  const [first, second, third] = [0, 1, 2].map(
    (partition) => readerOf(handler, 1_000_000, partition).reader,
  );
  third!.hold(true);
  for (const reader of [first!, second!, third!]) reader.push(fetched(0, 1));
  await until(() => asked.length === 1);
  asked[0]!.settle(1);
  await until(() => asked.length === 2);
  asked[1]!.settle(1);
  await until(() => second!.next === 1);
  third!.hold(false);
  await until(() => asked.length === 3);
  asked[2]!.settle(1);
  expect(asked.map(({ chunk }) => chunk.partition)).toEqual([0, 1, 2]);
  await Promise.all([first!, second!, third!].map((reader) => reader.stop()));
});

test('records fetched after a stop are discarded', async () => {
  const { handler, asked } = handlerOf();
  const { reader, seen } = readerOf(handler, 1_000);
  await reader.stop();
  reader.push(fetched(0, 40, 100));
  expect(reader.isFull).toBe(false);
  expect(seen).toEqual([]);
  expect(asked).toEqual([]);
});

test('a reader that is held while it waits for its turn handles no chunk', async () => {
  const { handler, asked } = handlerOf();
  const [first, second] = [0, 1].map((partition) => readerOf(handler, 1_000_000, partition).reader);
  first!.push(fetched(0, 1));
  await until(() => asked.length === 1);
  let turns = 0;
  const { semaphore } = handler;
  const enter = semaphore.enter.bind(semaphore);
  semaphore.enter = () => {
    turns++;
    return enter();
  };
  second!.push(fetched(0, 1));
  await until(() => turns === 1);
  second!.hold(true);
  asked[0]!.settle(1);
  // its turn comes, and goes to the next who waits
  await enter();
  semaphore.leave();
  expect(asked).toHaveLength(1);
  second!.hold(false);
  await until(() => asked.length === 2);
  asked[1]!.settle(1);
  await Promise.all([first!.stop(), second!.stop()]);
});

test('a failed chunk is retried even if its reader is held, because it may have been committed', async () => {
  const { handler, asked } = handlerOf();
  const { reader } = readerOf(handler);
  reader.push(fetched(0, 3));
  await until(() => asked.length === 1);
  reader.hold(true);
  reader.push(fetched(3, 3));
  asked[0]!.settle(new Error('no answer'));
  await until(() => asked.length === 2);
  asked[1]!.settle(3);
  await until(() => reader.next === 3);
  expect(asked.map(cutOf).map(({ from, next }) => [from, next])).toEqual([
    [0, 3],
    [0, 3],
  ]);
  await reader.stop();
});

test('the end of a chunk is never before it, even if the fetch reports that', async () => {
  const { handler, asked } = handlerOf();
  const { reader } = readerOf(handler);
  reader.push({ ...fetched(0, 3), end: 2 });
  await until(() => asked.length === 1);
  expect(asked[0]!.chunk.end).toBe(3);
  asked[0]!.settle(3);
  await reader.stop();
});

test('a chunk that is not full waits for more, and one that is full does not', async () => {
  const { handler, asked } = handlerOf({ lingerMs: 60_000 });
  const { reader } = readerOf(handler);
  reader.push(fetched(0, 3));
  reader.push(fetched(3, 3));
  // further than a chunk that waits for nothing would take to be cut
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  expect(asked).toEqual([]);
  reader.push(fetched(6, 4));
  await until(() => asked.length === 1);
  expect(asked.map(cutOf)).toEqual([{ from: 0, next: 10, offsets: range(0, 10) }]);
  asked[0]!.settle(10);
  await reader.stop();
});

test('a full reader does not linger', async () => {
  const { handler, asked } = handlerOf({ lingerMs: 60_000 });
  const { reader } = readerOf(handler, 500);
  reader.push(fetched(0, 2));
  await until(() => asked.length === 1);
  expect(reader.isFull).toBe(false); // what it held is on its way
  asked[0]!.settle(2);
  await reader.stop();
});

test('records fetched after the position was moved are discarded', async () => {
  const { handler, asked } = handlerOf();
  const { reader, seen } = readerOf(handler, 5_000);
  reader.push(fetched(0, 1));
  await until(() => asked.length === 1);
  asked[0]!.settle(77);
  await until(() => seen.length === 1);
  reader.push(fetched(1, 40, 100));
  expect(reader.isFull).toBe(false);
  expect(seen).toEqual(['moved 77']);
});
