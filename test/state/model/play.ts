/** Plays one history: many processes, all messages in random order, and chaos at the same time. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { Random } from '../../../dev/lib/random.ts';
import type { Change } from '../../../src/state/change.ts';
import type { Database } from '../../../src/state/database/database.ts';
import { specify } from '../../../src/definitions/specification.ts';
import { register } from '../../../src/state/registration/register.ts';
import { workerWith, type TestWorker } from '../../support/worker.ts';
import { Chaos, type Tally } from './chaos.ts';
import { completeOf, define, functions, membersOf } from './functions.ts';
import { life, Source, sourceRow, TABLES } from './source.ts';

export const history = fc.record({
  functions,
  initial: fc.uniqueArray(fc.tuple(fc.constantFrom(...TABLES), sourceRow), {
    maxLength: 8,
    size: 'max',
    selector: ([table, row]) => `${table}/${row.id}`,
  }),
  steps: life(80),
  mode: fc.constantFrom('run' as const, 'skip' as const),
  workers: fc.integer({ min: 2, max: 4 }),
  schedule: fc.nat(),
});

export type History = typeof history extends fc.Arbitrary<infer T> ? T : never;

export interface Played {
  readonly workers: readonly TestWorker[];
  readonly source: Source;
  /** The sets of each function that were complete before Muster started. */
  readonly known: readonly ReadonlySet<string>[];
}

/** `name` distinguishes the tables and functions of this history from those of others in the database. */
export async function play(
  databases: readonly Database[],
  name: string,
  plan: History,
  tally: Tally,
  purging: boolean,
): Promise<Played> {
  const random = new Random(plan.schedule);
  const source = new Source(name, plan.initial);
  const definitions = plan.functions.map((each, i) =>
    define(each, `${name}-${i}`, source, plan.mode),
  );
  const served = [];
  for (const each of definitions) served.push(await register(databases[0]!, specify(each)));
  const workers: TestWorker[] = [];
  for (const database of databases.slice(0, plan.workers)) {
    workers.push(await workerWith(database, served, { slots: random.between(0, 3) }));
  }
  const chaos = new Chaos(random, tally, purging ? definitions : []);
  const initial = source.initialSnapshot();
  const known = plan.functions.map((each) =>
    plan.mode === 'run' ? new Set<string>() : completeOf(each, membersOf(each, source)),
  );
  if (plan.mode === 'skip') await deliver(initial, workers, chaos, random);
  source.live(plan.steps);
  const messages = [...initial, ...source.messages];
  await deliver(
    [...messages, ...messages.filter(() => random.chance(0.3))],
    workers,
    chaos,
    random,
  );
  await chaos.settle(workers);
  if (purging) {
    await chaos.purge(workers[0]!);
    await deliver(messages, workers, chaos, random);
    await chaos.settle(workers);
  }
  for (const worker of workers) await worker.runs.deregister(worker.id);
  return { workers, source, known };
}

/** Deals the messages in random order to the workers, which ingest them concurrently in batches of any size. */
async function deliver(
  messages: readonly Change[],
  workers: readonly TestWorker[],
  chaos: Chaos,
  random: Random,
): Promise<void> {
  const hands = workers.map((): Change[] => []);
  for (const message of shuffle(messages, random)) {
    hands[random.between(0, workers.length - 1)]!.push(message);
  }
  await Promise.all(
    workers.map(async (worker, i) => {
      const hand = hands[i]!;
      while (hand.length > 0) {
        const batch = hand.splice(0, random.between(1, 20));
        const acts = [1, 2, 3].filter(() => random.chance(0.5)).map(() => chaos.act(worker));
        const outcomes = await Promise.all(batch.map((change) => worker.ingestor.ingest(change)));
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
