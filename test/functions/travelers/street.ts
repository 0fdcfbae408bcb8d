import { TYPES, type Sample } from '../../../functions/travelers/ingest/sample.ts';
import { Random } from '../../../dev/lib/random.ts';

const FEET_PER_SECOND = { pedestrian: 5, bicyclist: 20, vehicle: 40 } as const;

/**
 * Returns the samples of a street, ordered by time: at each sensor a traveler arrives every `everySeconds`,
 * and walks, rides or drives through its field.
 */
export function street(
  sensors: readonly number[],
  from: number,
  to: number,
  { everySeconds = 2, seed = 1 } = {},
): Sample[] {
  const source = new Random(seed);
  const random = () => source.next();
  const samples: Sample[] = [];
  let travelers = seed * 1_000_000;
  for (const sensor of sensors) {
    for (let arrival = from; arrival < to; arrival += everySeconds * 1000 * 2 * random()) {
      const type = TYPES[Math.floor(random() * TYPES.length)]!;
      const traveler = `00000000-0000-4000-8000-${String(++travelers).padStart(12, '0')}`;
      let [x, y] = [100 * random(), 0];
      for (let at = arrival; at < to && y < 100;) {
        samples.push({ sensor, traveler, type, at: Math.round(at * 1000), x, y });
        const seconds = 0.5 + 0.5 * random();
        y += 2 * FEET_PER_SECOND[type] * seconds * random();
        at += seconds * 1000;
      }
    }
  }
  return samples.toSorted((a, b) => a.at - b.at);
}
