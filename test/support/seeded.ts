import { Random } from '../../dev/lib/random.ts';

/** The seed, from `MUSTER_SEED` if that is set, so that a failure can be reproduced. */
export function seedOf(): number {
  const seed = Number(process.env['MUSTER_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  console.info(`MUSTER_SEED=${seed}`);
  return seed;
}

/** Random numbers whose seed is printed. */
export function seeded(): Random {
  return new Random(seedOf());
}

/** Parameters of a property that is checked so many times. Its failure names the seed and what was wrong. */
export function seededRuns(numRuns: number) {
  return { seed: seedOf(), numRuns, includeErrorInReport: true };
}
