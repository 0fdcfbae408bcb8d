import { expect, test } from 'vitest';
import { ChangeHandler } from '../../../src/intake/kafka/change-handler.ts';
import type { Committed, Look } from '../../../src/intake/kafka/record-handler.ts';
import { EventIngestor } from '../../../src/intake/ingest.ts';
import type { LostRecords } from '../../../src/state/projections/positions.ts';
import { envelope } from '../../support/sender.ts';
import { Recorder } from '../server.ts';

const OLD = 'a'.repeat(32);
const NEW = 'b'.repeat(32);

function destinationOn(intake = new Recorder()) {
  const noted: unknown[] = [];
  const said: string[] = [];
  const lost = {
    note: (...gap: unknown[]) => Promise.resolve(void noted.push(gap.slice(1))),
  } as unknown as LostRecords;
  const log = {
    info() {},
    warn: (_: object, message: string) => void said.push(message),
    error: (_: object, message: string) => void said.push(message),
  };
  const place = { name: 'pair', topics: ['items'] };
  const handler = new ChangeHandler(
    place,
    new EventIngestor(intake, () => {}),
    lost,
    log,
    () => {},
  );
  const begin = async (
    committed: Omit<Committed, 'partition'>,
    now: Omit<Look, 'partitions' | 'ranges'> & { low: number; high: number },
    isOwner = true,
  ) => {
    const ranges = [{ partition: 0, low: now.low, high: now.high }];
    const starts = await handler.begin('items', {
      committed: [{ partition: 0, ...committed }],
      look: () => Promise.resolve({ id: now.id, partitions: [0], ranges }),
      isOwner: () => isOwner,
    });
    return starts.map(({ next }) => next);
  };
  return { handler, noted, said, begin };
}

test('a partition resumes at the committed offset, and without one at the earliest record', async () => {
  const { begin, said } = destinationOn();
  expect(await begin({ offset: 7, topicId: OLD }, { id: OLD, low: 5, high: 9 })).toEqual([7]);
  expect(await begin({ offset: 9, topicId: null }, { id: null, low: 5, high: 9 })).toEqual([9]);
  expect(await begin({ offset: null, topicId: null }, { id: OLD, low: 5, high: 9 })).toEqual([5]);
  expect(said).toEqual([]);
});

test('an offset of an earlier topic of the same name is ignored, however long the new one is', async () => {
  const { begin, said, noted } = destinationOn();
  expect(await begin({ offset: 7, topicId: OLD }, { id: NEW, low: 0, high: 9 })).toEqual([0]);
  expect(said).toEqual(['the topic was recreated, and is read from its beginning']);
  expect(noted).toEqual([]);
});

test('a truncated log is read from its beginning', async () => {
  const { begin, said } = destinationOn();
  expect(await begin({ offset: 10, topicId: OLD }, { id: OLD, low: 2, high: 9 })).toEqual([2]);
  expect(said).toHaveLength(1);
  expect(said[0]).toContain('recreated or truncated');
});

test('records that the topic no longer holds are recorded, by the owner only', async () => {
  const { begin, noted } = destinationOn();
  const now = { id: OLD, low: 5, high: 9 };
  expect(await begin({ offset: 3, topicId: OLD }, now, false)).toEqual([]);
  expect(noted).toEqual([]);
  expect(await begin({ offset: 3, topicId: OLD }, now)).toEqual([5]);
  expect(noted).toEqual([['items', 0, 3, 5]]);
});

test('a chunk with a record that could not be ingested is not skipped', async () => {
  const intake = new Recorder();
  let tries = 0;
  intake.answer = (change) =>
    'lsn' in change && change.lsn === 2n && ++tries === 1
      ? Promise.reject(new Error('the database is away'))
      : Promise.resolve({ kind: 'ingested' });
  const { handler } = destinationOn(intake);
  const records = [1, 2, 3].map((lsn, offset) => ({
    offset,
    timestamp: 0,
    key: null,
    value: Buffer.from(envelope('c', lsn, { id: lsn, k: 'k', kind: 'a' })),
    headers: {},
  }));
  const chunk = { topic: 'items', partition: 0, from: 0, next: 3, end: 3, records };
  await expect(handler.handle(chunk)).rejects.toThrow('the database is away');
  // the others were ingested, and are duplicates the next time
  expect(intake.ingested).toHaveLength(3);
  expect(await handler.handle(chunk)).toBe(3);
});
