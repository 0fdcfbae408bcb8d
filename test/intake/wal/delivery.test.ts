import { expect, onTestFinished } from 'vitest';
import { EventIngestor } from '../../../src/intake/ingest.ts';
import { Delivery } from '../../../src/intake/wal/delivery.ts';
import { Unavailable } from '../../../src/state/outcome.ts';
import { engineOn } from '../../support/engine.ts';
import { pairOf, partA } from '../../support/pair.ts';
import { test, type TestDatabase } from '../../support/test.ts';

/** A delivery into an engine that ingests nothing until `release` is called. */
async function held(db: TestDatabase, options: { maxBytes: number; retryMs: number }) {
  const engine = await engineOn(db, [pairOf()], { STATEMENT_TIMEOUT_SECONDS: '1' });
  onTestFinished(() => engine.stop());
  const holder = await db.pool.connect();
  onTestFinished(() => holder.release(true));
  await holder.query('begin; lock table muster.barrier in share mode');
  const delivered = { count: 0, retries: 0 };
  const delivery = new Delivery({
    ingestor: new EventIngestor(engine.ingestor, () => {}),
    ...options,
    onDelivered: (count) => (delivered.count += count),
    onRetry: () => (delivered.retries += 1),
  });
  const push = (bytes: number, done = () => {}) =>
    delivery.push({ kind: 'change', change: partA('x', 'c', `${pushed++}`) }, bytes, done);
  let pushed = 0;
  return { delivery, delivered, push, release: () => holder.query('rollback') };
}

test('changes wait up to a limit of bytes, are retried, and are done once they are committed', async ({
  db,
}) => {
  const { delivery, delivered, push, release } = await held(db, {
    maxBytes: 1_000_000,
    retryMs: 60_000,
  });
  let done = 0;
  let pushed = 0;
  for (; !delivery.isFull; pushed++) push(10_000, () => (done += 1));
  expect(pushed).toBe(97);
  await expect.poll(() => delivered.retries, { timeout: 10_000 }).toBeGreaterThan(0);
  expect(done).toBe(0);
  await release();
  await delivery.drained();
  expect([done, delivered.count]).toEqual([97, 97]);
  expect(delivery.hasRoom).toBe(true);
  expect(await db.query('select from muster.member')).toHaveLength(97);
});

test('a delivery that can not ingest for too long fails with the reason', async ({ db }) => {
  const { delivery, push } = await held(db, { maxBytes: 1_000_000, retryMs: 500 });
  let done = 0;
  push(1, () => (done += 1));
  await expect(delivery.failed).rejects.toThrow(Unavailable);
  await expect(delivery.drained()).rejects.toThrow(Unavailable);
  await expect(delivery.room()).rejects.toThrow(Unavailable);
  expect(done).toBe(0);
});
