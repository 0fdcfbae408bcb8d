import { expect } from 'vitest';
import { keyHash } from '../../../src/state/key-hash.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';
import { workerOn } from '../../support/worker.ts';

test('the database and the process compute the same hash of a key', async ({ db }) => {
  for (const key of ['', 'x', '["a","ä€😀"]', '\u0001'.repeat(1024)]) {
    const [row] = await db.query<{ hash: string }>('select muster.key_hash($1) as hash', [key]);
    expect([key, row!.hash.replaceAll('-', '')]).toEqual([key, keyHash(key)]);
  }
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
