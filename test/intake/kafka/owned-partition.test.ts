import type { KafkaMessage } from 'kafkajs';
import { expect, test } from 'vitest';
import { OwnedPartition } from '../../../src/intake/kafka/owned-partition.ts';
import type { Fetched, PartitionReader } from '../../../src/intake/kafka/partition.ts';

const OLD = 'a'.repeat(32);
const NEW = 'b'.repeat(32);

/** A partition that was started at an offset, with the records that its reader received. */
function ownedAt(next: number, lastTimestamp: number | null = null, low = 0) {
  const given: Fetched[] = [];
  const reader = {
    next,
    isIdle: true,
    push: (fetched: Fetched) => void given.push(fetched),
  };
  const start = { partition: 0, next, lastTimestamp, problem: null };
  const owned = new OwnedPartition(reader as unknown as PartitionReader, start, low, OLD);
  const offsets = () => given.map(({ records }) => records.map(({ offset }) => offset));
  return { owned, reader, given, offsets };
}

/** What kafkajs fetched at an offset: records there, each with its offset as its timestamp. */
function batch(fetched: number | null, offsets: readonly number[], last = offsets.at(-1)!) {
  const messages = offsets.map((offset) => ({
    offset: String(offset),
    timestamp: String(1_000 + offset),
    key: null,
    value: Buffer.from('1'),
  }));
  return {
    fetchedOffset: fetched === null ? null : String(fetched),
    lastOffset: String(last),
    highWatermark: '100',
    messages: messages as unknown as KafkaMessage[],
  };
}

const range = (low: number, high: number) => ({ partition: 0, low, high });

test('records fetched at the position go to the reader, and the next fetch starts after them', () => {
  const { owned, given, offsets } = ownedAt(5);
  expect(owned.receive(batch(5, [5, 6]))).toBe('taken');
  expect(owned.receive(batch(7, [], 8))).toBe('taken');
  expect(owned.receive(batch(null, [], 9))).toBe('taken');
  expect(offsets()).toEqual([[5, 6], [], []]);
  expect(given.map(({ next, end }) => [next, end])).toEqual([
    [7, 100],
    [9, 100],
    [10, 100],
  ]);
  expect(owned.fetch).toBe(10);
});

test('records fetched elsewhere are rejected, and all that follow', () => {
  const { owned, given } = ownedAt(5);
  expect(owned.receive(batch(0, [0, 1]))).toBe('off');
  expect(owned.receive(batch(5, [5]))).toBe('off');
  expect(given).toEqual([]);
  expect(owned.isMisplaced(range(0, 100), 5, OLD)).toBe(true);
});

test('the record before the position is only compared, and not passed to the reader', () => {
  const { owned, offsets } = ownedAt(5, 1_004);
  expect(owned.fetch).toBe(4);
  expect(owned.receive(batch(4, [4, 5, 6]))).toBe('taken');
  expect(offsets()).toEqual([[5, 6]]);
  const alone = ownedAt(5, 1_004);
  expect(alone.owned.receive(batch(4, [4]))).toBe('taken');
  expect(alone.given).toEqual([]);
  expect(alone.owned.receive(batch(5, [5]))).toBe('taken');
  expect(alone.offsets()).toEqual([[5]]);
});

test('another record before the position means that the topic was recreated', () => {
  const { owned, given } = ownedAt(5, 7_777);
  expect(owned.receive(batch(4, [4, 5]))).toBe('recreated');
  expect(given).toEqual([]);
});

test('a record before the position that was deleted, by compaction or retention, proves nothing', () => {
  const compacted = ownedAt(5, 7_777);
  expect(compacted.owned.receive(batch(4, [5]))).toBe('taken');
  expect(compacted.offsets()).toEqual([[5]]);
  const forgotten = ownedAt(5, 7_777, 5);
  expect(forgotten.owned.fetch).toBe(5);
});

test('a partition is misplaced once two checks agree and no records wait', () => {
  for (const [low, high, stored] of [
    [6, 100, 5], // the topic no longer holds the next record
    [0, 4, 5], // it is shorter
    [0, 100, 3], // a person moved the position
  ] as const) {
    const { owned, reader } = ownedAt(5);
    expect(owned.isMisplaced(range(low, high), stored, OLD)).toBe(false);
    reader.isIdle = false;
    expect(owned.isMisplaced(range(low, high), stored, OLD)).toBe(false);
    reader.isIdle = true;
    expect(owned.isMisplaced(range(low, high), stored, OLD)).toBe(true);
  }
});

test('a doubt that has ended, or a different one, does not confirm the first', () => {
  const { owned } = ownedAt(5);
  expect(owned.isMisplaced(range(0, 100), 3, OLD)).toBe(false);
  expect(owned.isMisplaced(range(0, 100), 4, OLD)).toBe(false);
  expect(owned.isMisplaced(range(0, 100), 5, OLD)).toBe(false);
  expect(owned.isMisplaced(range(0, 100), 4, OLD)).toBe(false);
  expect(owned.isMisplaced(range(0, 100), undefined, OLD)).toBe(false);
});

test('no more records of a topic with another id are received, and the partition restarts when none wait', () => {
  const { owned, reader } = ownedAt(5);
  reader.isIdle = false;
  expect(owned.isMisplaced(range(0, 100), 5, NEW)).toBe(false);
  expect(owned.receive(batch(5, [5]))).toBe('off');
  reader.isIdle = true;
  expect(owned.isMisplaced(range(0, 100), 5, NEW)).toBe(true);
  expect(ownedAt(5).owned.isMisplaced(range(0, 100), 5, null)).toBe(false);
});
