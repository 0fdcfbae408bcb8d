import { expect } from 'vitest';
import { fireDeadlines } from '../../../src/state/runs/deadlines.ts';
import { pairOf, partA } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { test } from '../../support/test.ts';

test('a set that was reported, emptied and started again is reported again', async ({ db }) => {
  const worker = await workerOn(db, [pairOf({ overdueAfter: '1 hour' })]);
  const fire = async () => {
    await db.query(`update muster.deadline set due_at = now() - interval '1 second'`);
    await db.query(`update muster.member set since = now() - interval '2 hours'`);
    const { overdue } = await fireDeadlines(worker.database, [1]);
    return overdue.map(({ key }) => key);
  };
  await worker.ingestor.ingest(partA());
  expect(await fire()).toEqual(['x']);
  await worker.ingestor.ingest(partA('x', 'd'));
  await worker.ingestor.ingest(partA());
  expect(
    await db.query('select key from muster.overdue join muster.sets using (function, key_hash)'),
  ).toEqual([]);
  expect(await fire()).toEqual(['x']);
});
