import fc from 'fast-check';
import { expect, onTestFinished } from 'vitest';
import { Random } from '../../src/dev/random.ts';
import type { Change } from '../../src/state/change.ts';
import { specify } from '../../src/state/definition.ts';
import { register } from '../../src/state/register.ts';
import { databaseOn, podWith, type Pod } from '../support/pod.ts';
import { seedOf } from '../support/seeded.ts';
import { test } from '../support/test.ts';
import { Chaos, type Tally } from './model/chaos.ts';
import { completeOf, define, functions, membersOf } from './model/functions.ts';
import { life, Source, sourceRow, TABLES } from './model/source.ts';
import { differences } from './model/verdict.ts';

const RUNS = Number(process.env['MUSTER_MODEL_RUNS'] ?? 250);

const history = fc.record({
  functions,
  initial: fc.uniqueArray(fc.tuple(fc.constantFrom(...TABLES), sourceRow), {
    maxLength: 8,
    size: 'max',
    selector: ([table, row]) => `${table}/${row.id}`,
  }),
  steps: life(80),
  mode: fc.constantFrom('run' as const, 'skip' as const),
  pods: fc.integer({ min: 2, max: 4 }),
  schedule: fc.nat(),
});

test(`whatever the order, duplicates and cuts, members, counts, wanted runs and effects are those of the model`, async ({
  db,
}) => {
  const databases = [1, 2, 3, 4].map(() => databaseOn(db));
  onTestFinished(async () => void (await Promise.all(databases.map((each) => each.close()))));
  await db.query('create table effect (function int, key text, revision int)');
  const tally: Tally = {
    committed: 0,
    fenced: 0,
    failed: 0,
    released: 0,
    buried: 0,
    mostBounded: 0,
  };
  let runs = 0;

  await fc.assert(
    fc.asyncProperty(history, async (plan) => {
      const prefix = `h${++runs}`;
      const random = new Random(plan.schedule);
      const source = new Source(prefix, plan.initial);
      const served = [];
      for (const [i, each] of plan.functions.entries()) {
        const definition = define(each, `${prefix}-${i}`, source, plan.mode);
        served.push(await register(databases[0]!, specify(definition)));
      }
      const pods: Pod[] = [];
      for (const database of databases.slice(0, plan.pods)) {
        pods.push(await podWith(database, served, { slots: random.between(0, 3) }));
      }
      const chaos = new Chaos(random, tally);

      const initial = source.initialSnapshot();
      const known = plan.functions.map((each) =>
        plan.mode === 'run' ? new Set<string>() : completeOf(each, membersOf(each, source)),
      );
      if (plan.mode === 'skip') await deliver(initial, pods, chaos, random);
      source.live(plan.steps);
      const messages = [...initial, ...source.messages];
      const again = messages.filter(() => random.chance(0.3));
      await deliver([...messages, ...again], pods, chaos, random);
      await chaos.settle(pods);

      const { expected, actual } = (await differences(
        pods[0]!,
        plan.functions,
        source,
        known,
      )) as Record<string, unknown>;
      expect(actual).toEqual(expected);
      for (const pod of pods) await pod.runs.resign(pod.id);
    }),
    { seed: seedOf(), numRuns: RUNS },
  );

  console.info(`${runs} histories: ${JSON.stringify(tally)}`);
  expect(tally.mostBounded).toBeLessThanOrEqual(2);
  expect(Object.entries(tally).filter(([, n]) => n === 0)).toEqual([]);
  await Promise.all(
    databases.map((each) => each.control.query('select pg_stat_force_next_flush()')),
  );
  expect(
    await db.query('select deadlocks from pg_stat_database where datname = current_database()'),
  ).toEqual([{ deadlocks: '0' }]);
}, 120_000);

/** Deals the messages in any order to the pods, which file them in batches of any size, all at once. */
async function deliver(messages: Change[], pods: Pod[], chaos: Chaos, random: Random) {
  const hands = pods.map((): Change[] => []);
  for (const message of shuffle(messages, random)) {
    hands[random.between(0, pods.length - 1)]!.push(message);
  }
  await Promise.all(
    pods.map(async (pod, i) => {
      const hand = hands[i]!;
      while (hand.length > 0) {
        const batch = hand.splice(0, random.between(1, 20));
        const acts = [1, 2, 3].filter(() => random.chance(0.5)).map(() => chaos.act(pod));
        const outcomes = await Promise.all(batch.map((change) => pod.filing.file(change)));
        expect(outcomes.filter(({ kind }) => kind === 'parked')).toEqual([]);
        await Promise.all(acts);
      }
    }),
  );
}

function shuffle<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => [random.next(), item] as const)
    .toSorted(([a], [b]) => a - b)
    .map(([, item]) => item);
}
