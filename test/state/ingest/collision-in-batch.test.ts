import type * as Crypto from 'node:crypto';
import { expect, vi } from 'vitest';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';
import { workerOn } from '../../support/worker.ts';

// Nobody knows two keys that collide, so here a hash does not see the case of letters.
vi.mock('node:crypto', async (importOriginal) => {
  const crypto = await importOriginal<typeof Crypto>();
  return { ...crypto, hash: (of: string, text: string) => crypto.hash(of, text.toLowerCase()) };
});

test('keys that have the same hash are told apart within a batch', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const outcomes = await Promise.all(
    [partA('y'), partA('x'), partB('X'), partB('y')].map((each) => worker.ingestor.ingest(each)),
  );
  expect(outcomes).toMatchObject([
    { kind: 'ingested' },
    { kind: 'ingested' },
    { kind: 'parked', reason: 'bad-value', detail: "the keys 'x' and 'X' have the same hash" },
    { kind: 'ingested' },
  ]);
  expect(await setsOf(db)).toMatchObject([
    { key: 'x', counts: [1, 0] },
    { key: 'y', counts: [1, 1] },
  ]);
});
