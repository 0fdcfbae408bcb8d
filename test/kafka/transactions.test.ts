import { expect, test } from 'vitest';
import { dropAborted, type FetchedPartition } from '../../src/kafka/transactions.ts';

const ABORT = Buffer.from([0, 0, 0, 0]);
const COMMIT = Buffer.from([0, 0, 0, 1]);

type Entry = readonly [producer: string, what?: 'abort' | 'commit' | Buffer];

/** Returns the offsets of the records that are left once aborted ones are dropped; the first has offset `from`. */
function left(
  entries: readonly Entry[],
  aborted: readonly (readonly [string, number])[],
  from = 0,
) {
  const partition = {
    abortedTransactions: aborted.map(([producerId, first]) => ({
      producerId,
      firstOffset: String(first),
    })),
    messages: entries.map(([producerId, what], i) => ({
      offset: String(from + i),
      key: what === 'abort' ? ABORT : what === 'commit' ? COMMIT : (what ?? null),
      isControlRecord: typeof what === 'string',
      batchContext: { producerId, inTransaction: producerId !== 'none' },
    })),
  } satisfies FetchedPartition;
  dropAborted(partition);
  expect(partition.messages).toHaveLength(entries.length);
  return partition.messages
    .filter(({ isControlRecord }) => !isControlRecord)
    .map(({ offset }) => Number(offset));
}

test('records of overlapping aborted transactions are dropped, each up to its marker', () => {
  const entries: Entry[] = [
    ['a'],
    ['b'],
    ['a'],
    ['none'],
    ['a', 'abort'],
    ['b'],
    ['a'],
    ['b', 'abort'],
    ['b'],
  ];
  const aborted = [
    ['a', 0],
    ['b', 1],
  ] as const;
  expect(left(entries, aborted)).toEqual([3, 6, 8]);
});

test('the list of aborted transactions may come in any order', () => {
  const entries: Entry[] = [['a'], ['b'], ['a', 'abort'], ['b', 'abort']];
  const aborted = [
    ['b', 1],
    ['a', 0],
  ] as const;
  expect(left(entries, aborted)).toEqual([]);
});

test('a fetch that begins in the middle of several aborted transactions drops the rest of each', () => {
  const entries: Entry[] = [['b'], ['c'], ['a'], ['none']];
  const aborted = [
    ['a', 1],
    ['b', 2],
    ['c', 3],
  ] as const;
  expect(left(entries, aborted, 10)).toEqual([13]);
});

test('neither a key of four zero bytes nor a commit marker ends an aborted transaction', () => {
  const entries: Entry[] = [
    ['a', ABORT],
    ['a'],
    ['b', 'commit'],
    ['a'],
    ['a', 'abort'],
    ['a', ABORT],
  ];
  expect(left(entries, [['a', 0]])).toEqual([5]);
});

test('without aborted transactions all records are left', () => {
  expect(left([['a', ABORT], ['b'], ['a', 'commit']], [])).toEqual([0, 1]);
});
