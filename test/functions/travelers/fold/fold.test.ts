import fc from 'fast-check';
import { expect } from 'vitest';
import { StagedSamples } from '../../../../functions/travelers/fold/staged.ts';
import type { Sample } from '../../../../functions/travelers/ingest/sample.ts';
import { seededRuns } from '../../../support/seeded.ts';
import { test, type TestDatabase } from '../../../support/test.ts';
import { expectTruth } from '../compare.ts';
import { BASE_SECOND, PARTITIONS, plan, type Plan } from '../plan.ts';
import { empty, OPTIONS, streamOn, type Stream } from '../stream.ts';

const SECONDS = 40;
const options = { ...OPTIONS, visitTimeout: 3_000_000 };

test('whatever the order, batches, partitions and duplicates, every window equals that of all samples folded at once', async ({
  db,
}) => {
  const stream = await streamOn(db, options, PARTITIONS);
  const seen = { provisional: 0, final: 0, folds: 0 };
  await fc.assert(
    fc.asyncProperty(plan(SECONDS, options.lateness), async (drawn) => {
      await empty(db);
      await stream.settle(); // from then on the visit timeout is known
      await play(db, stream, drawn, seen);
    }),
    seededRuns(Number(process.env['MUSTER_MODEL_RUNS'] ?? 60)),
  );
  console.info(JSON.stringify(seen));
  expect(Object.values(seen).every((count) => count > 0)).toBe(true);
}, 120_000);

async function play(
  db: TestDatabase,
  stream: Stream,
  { acts, queries }: Plan,
  seen: { provisional: number; final: number; folds: number },
): Promise<void> {
  const given: Sample[] = [];
  const staged = new StagedSamples();
  for (const act of acts) {
    if (act.kind === 'give') {
      await stream.give(act.partition, act.samples);
      given.push(...act.samples);
    } else if (act.kind === 'settle') {
      await stream.settle();
      seen.folds += 1;
    } else if (given.length > 0) {
      const newest = Math.max(...given.map(({ at }) => at));
      const { steps } = await expectTruth(
        db,
        act.query,
        given,
        options.visitTimeout,
        newest + 1,
        staged,
      );
      seen.provisional += steps.filter(({ final }) => !final).length;
    }
  }
  await stream.finish((BASE_SECOND + SECONDS + 120) * 1e6);
  for (const query of queries) {
    const { steps } = await expectTruth(db, query, given, options.visitTimeout);
    expect(steps.every(({ final }) => final)).toBe(true);
    seen.final += steps.length;
  }
  expect(await db.query('select * from travelers.late')).toEqual([]);
}
