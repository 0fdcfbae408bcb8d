import { expect } from 'vitest';
import { keyHash } from '../../../src/state/key-hash.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';
import { workerOn } from '../../support/worker.ts';

test('the database and the process compute the same hash of a key', async ({ db }) => {
  const keys = [
    '',
    'x',
    '12',
    '1234567',
    '["a1b2c3","ä€😀","é12"]',
    '[4711,"ab_cd-ef"]',
    '\u0001'.repeat(1024),
  ];
  for (const key of keys) {
    const [row] = await db.query<{ hash: string }>('select muster.key_hash($1) as hash', [key]);
    expect([key, row!.hash.replaceAll('-', '')]).toEqual([key, keyHash(key)]);
  }
});

/** Returns the number of neighbourhoods of the keys of 1,000 numbers. */
function neighbourhoodsOf(keyOf: (n: number) => string): number {
  const numbers = Array.from({ length: 1_000 }, (_, i) => 123_000 + i);
  return new Set(numbers.map((n) => keyHash(keyOf(n)).slice(0, 8))).size;
}

test('keys that follow each other are next to each other by their hashes', () => {
  expect(neighbourhoodsOf((n) => String(n))).toBe(10);
  expect(neighbourhoodsOf((n) => `["order-${n}","NO"]`)).toBe(10);
  expect(neighbourhoodsOf((n) => `["NO","0193b000-0000-7000-8000-000000${n}"]`)).toBe(10);
});

test('an event whose key has the hash of another key is parked, and the other set is not changed', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(partA('x'));
  await db.query(`update muster.sets set key = 'the other'`);
  const outcomes = await Promise.all(
    [partB('x'), partA('y')].map((each) => worker.ingestor.ingest(each)),
  );
  expect(outcomes).toMatchObject([
    {
      kind: 'parked',
      reason: 'bad-value',
      detail: "the keys 'the other' and 'x' have the same hash",
    },
    { kind: 'ingested' },
  ]);
  expect(await setsOf(db)).toEqual([
    { key: 'the other', counts: [1, 0], fresh: 1 },
    { key: 'y', counts: [1, 0], fresh: 1 },
  ]);
});
