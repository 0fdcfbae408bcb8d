import fc from 'fast-check';
import { expect, onTestFinished } from 'vitest';
import type { Database } from '../../src/state/database/database.ts';
import { databaseOn } from '../support/worker.ts';
import { seededRuns } from '../support/seeded.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { nothingYet } from './model/chaos.ts';
import { history, play } from './model/play.ts';
import { compare, flaws } from './model/verdict.ts';

/** Number of histories; `MUSTER_SEED` repeats the same ones. */
const RUNS = Number(process.env['MUSTER_MODEL_RUNS'] ?? 250);
const PURGED_RUNS = Math.ceil(RUNS / 4);

test('whatever the order, duplicates and cuts of the messages, members, counts, due runs and effects match the model', async ({
  db,
}) => {
  const databases = await prepare(db);
  const tally = nothingYet();
  let n = 0;
  await fc.assert(
    fc.asyncProperty(history, async (plan) => {
      const { workers, source, known } = await play(databases, `h${++n}`, plan, tally, false);
      const { expected, actual } = await compare(workers[0]!, plan.functions, source, known);
      expect(actual).toEqual(expected);
    }),
    seededRuns(RUNS),
  );
  console.info(`${n} histories: ${JSON.stringify(tally)}`);
  const { purged, mostBounded, ...counts } = tally;
  expect([purged, Math.max(mostBounded, 2)]).toEqual([0, 2]);
  // the test proves nothing unless these things happened
  expect(Object.entries(counts).filter(([, times]) => times === 0)).toEqual([]);
  expect(await deadlocks(db, databases)).toEqual([{ deadlocks: '0' }]);
}, 180_000);

test('with purges at any time, and everything resent at the end, no effect is repeated and counts stay correct', async ({
  db,
}) => {
  const databases = await prepare(db);
  const tally = nothingYet();
  let n = 0;
  await fc.assert(
    fc.asyncProperty(history, async (plan) => {
      const { workers } = await play(databases, `h${++n}`, plan, tally, true);
      expect(await flaws(workers[0]!, db)).toEqual([]);
    }),
    seededRuns(PURGED_RUNS),
  );
  console.info(`${n} histories: ${JSON.stringify(tally)}`);
  expect(tally.purged).toBeGreaterThan(PURGED_RUNS);
  expect(await deadlocks(db, databases)).toEqual([{ deadlocks: '0' }]);
}, 180_000);

async function prepare(db: TestDatabase): Promise<Database[]> {
  const databases = [1, 2, 3, 4].map(() => databaseOn(db));
  onTestFinished(async () => void (await Promise.all(databases.map((each) => each.close()))));
  await db.query('create table effect (function int, key text, revision int, token bigint)');
  return databases;
}

async function deadlocks(db: TestDatabase, databases: readonly Database[]) {
  const flush = 'select pg_stat_force_next_flush()';
  await Promise.all(
    databases.flatMap(({ writers, control }) => [writers.query(flush), control.query(flush)]),
  );
  return db.query('select deadlocks from pg_stat_database where datname = current_database()');
}
