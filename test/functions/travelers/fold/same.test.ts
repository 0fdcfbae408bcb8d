import fc from 'fast-check';
import { expect } from 'vitest';
import { settle } from '../../../../functions/travelers/fold/settle.ts';
import type { Tx } from '../../../../src/function.ts';
import { seededRuns } from '../../../support/seeded.ts';
import { test, type TestDatabase } from '../../../support/test.ts';
import { plan, PARTITIONS, BASE_SECOND, type Plan } from '../plan.ts';
import { empty, OPTIONS, streamOn, type Stream } from '../stream.ts';

const SECONDS = 40;
const RUNS = Number(process.env['MUSTER_MODEL_RUNS'] ?? 30);

class Died extends Error {}

test('the stored state is identical to the last bit, wherever folds start, end and are killed', async ({
  db,
}) => {
  const stream = await streamOn(db, OPTIONS, PARTITIONS);
  let deaths = 0;
  await fc.assert(
    fc.asyncProperty(
      plan(SECONDS, OPTIONS.lateness),
      fc.array(fc.integer({ min: 1, max: 14 }), { minLength: 1, maxLength: 20, size: 'max' }),
      async (drawn, fates) => {
        await play(db, stream, drawn, () => Promise.resolve());
        const stored = await everything(db);
        let turn = 0;
        await play(db, stream, drawn, async () => {
          if (await dieAt(db, fates[turn++ % fates.length]!)) deaths += 1;
          else await stream.settle();
        });
        expect(await everything(db)).toEqual(stored);
        await play(db, stream, rearranged(drawn), async () => void (await stream.settle()));
        expect(await everything(db)).toEqual(stored);
      },
    ),
    seededRuns(RUNS),
  );
  expect(deaths).toBeGreaterThan(RUNS);
}, 120_000);

/** Sends a plan's samples, calls `between` where the plan settles, and then finishes. */
async function play(
  db: TestDatabase,
  stream: Stream,
  { acts }: Plan,
  between: () => Promise<void>,
): Promise<void> {
  await empty(db);
  for (const act of acts) {
    if (act.kind === 'give') await stream.give(act.partition, act.samples);
    if (act.kind === 'settle') await between();
  }
  await stream.finish((BASE_SECOND + SECONDS) * 1e6);
}

/** Uses other chunks, one partition after the other, so that time has to wait for the last. */
function rearranged({ acts, queries }: Plan): Plan {
  const turns = [2, 0, 1].flatMap((partition) => {
    const samples = acts.flatMap((act) =>
      act.kind === 'give' && act.partition === partition ? act.samples : [],
    );
    return Array.from({ length: Math.ceil(samples.length / 2) }, (_, i) => [
      { kind: 'give' as const, partition, samples: samples.slice(2 * i, 2 * i + 2) },
      { kind: 'settle' as const },
    ]);
  });
  return { acts: turns.flat(), queries };
}

/** Runs a turn whose process dies before its nth statement; returns false if it had fewer. */
async function dieAt(db: TestDatabase, statement: number): Promise<boolean> {
  const client = await db.pool.connect();
  let sent = 0;
  const tx: Tx = {
    async query<R extends object>(text: string, values: readonly unknown[] = []) {
      if (++sent === statement) throw new Died();
      const { rows, rowCount } = await client.query(text, [...values]);
      return { rows: rows as R[], rowCount };
    },
  };
  const context = { positions: [], now: new Date(), log: { info() {}, warn() {}, error() {} } };
  try {
    await client.query('begin');
    await settle(tx, context, OPTIONS);
    return false;
  } catch (error) {
    if (!(error instanceof Died)) throw error;
    return true;
  } finally {
    await client.query('rollback');
    client.release();
  }
}

/** Returns the stored state without the columns that only record progress. */
async function everything(db: TestDatabase) {
  return {
    buckets: await db.query('select * from travelers.bucket order by seconds, sensor, start, type'),
    sensors: await db.query('select id, first_heard, last_heard from travelers.sensor order by id'),
    late: await db.query('select * from travelers.late'),
  };
}
