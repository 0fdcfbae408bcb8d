/** Random streams and queries. */
import fc from 'fast-check';
import type { MetricsQuery } from '../../../functions/travelers/query/types.ts';
import { TYPES, type Sample } from '../../../functions/travelers/ingest/sample.ts';

/** The next minute starts 20 s after this. */
export const BASE_SECOND = Date.UTC(2026, 10, 20, 8, 0, 40) / 1000;
const BASE = BASE_SECOND * 1e6;
export const PARTITIONS = 3;

interface Delivery {
  readonly sample: Sample;
  readonly partition: number;
  /** Sort key within the partition: its time plus at most the lateness bound. */
  readonly due: number;
}

/** The steps, in order. */
type Act =
  | { readonly kind: 'give'; readonly partition: number; readonly samples: readonly Sample[] }
  | { readonly kind: 'settle' }
  | { readonly kind: 'ask'; readonly query: MetricsQuery };

export interface Plan {
  readonly acts: readonly Act[];
  readonly queries: readonly MetricsQuery[];
}

const micros = (seconds: number) => seconds * 1e6;

/** Times at whole quarters of a second, a microsecond off, or anywhere. */
const time = (seconds: number) =>
  fc.oneof(
    fc
      .tuple(fc.integer({ min: 0, max: 4 * seconds }), fc.integer({ min: -1, max: 1 }))
      .map(([quarters, beside]) => BASE + quarters * 250_000 + beside),
    fc.integer({ min: BASE, max: BASE + micros(seconds) }),
  );

const coordinate = fc.oneof(
  fc.integer({ min: 0, max: 3 }),
  fc.double({ min: 0, max: 100, noNaN: true }),
);

const sample = (seconds: number): fc.Arbitrary<Sample> =>
  fc
    .record({
      sensor: fc.integer({ min: 1, max: 3 }),
      traveler: fc.integer({ min: 0, max: 3 }),
      type: fc.constantFrom(...TYPES),
      at: time(seconds),
      x: coordinate,
      y: coordinate,
    })
    .map((drawn) => ({
      ...drawn,
      traveler: `00000000-0000-4000-8000-00000000000${drawn.traveler}`,
    }));

/** Whole multiples of `grain` seconds. */
const query = (seconds: number, grain = 1): fc.Arbitrary<MetricsQuery> =>
  fc
    .record({
      sensors: fc.constantFrom<MetricsQuery['sensors']>('all', [1], [2, 1], [1, 2, 3], [3, 7]),
      types: fc.subarray([...TYPES], { minLength: 1 }),
      from: fc.integer({ min: -5, max: seconds / grain }),
      steps: fc.integer({ min: 1, max: 8 }),
      step: fc.integer({ min: 1, max: 7 }),
      window: fc.integer({ min: 1, max: 15 }),
      rest: fc.integer({ min: 0, max: 0 }),
      groupBy: fc.record({ sensor: fc.boolean(), type: fc.boolean() }),
    })
    .map(({ sensors, types, from, steps, step, window, groupBy }) => {
      const begin = (Math.floor(BASE_SECOND / grain) + from) * grain * 1000;
      const stepMs = step * grain * 1000;
      const to = begin + steps * stepMs;
      return { sensors, types, from: begin, to, stepMs, windowMs: window * grain * 1000, groupBy };
    });

/** A stream in which nothing is late, with deliveries and queries in a random order. */
export function plan(seconds: number, lateness: number): fc.Arbitrary<Plan> {
  const delivery = fc.record({
    sample: sample(seconds),
    partition: fc.integer({ min: 0, max: PARTITIONS - 1 }),
    delay: fc.integer({ min: 0, max: lateness }),
    /** Duplicates, possibly with another position, sent to a partition after a delay. */
    again: fc.option(
      fc.record({
        partition: fc.integer({ min: 0, max: PARTITIONS - 1 }),
        delay: fc.integer({ min: 0, max: lateness }),
        moved: fc.boolean(),
      }),
      { freq: 4 },
    ),
  });
  return fc
    .record({
      deliveries: fc.array(delivery, { minLength: 1, maxLength: 60, size: 'max' }),
      cuts: fc.array(
        fc.record({
          partition: fc.integer({ min: 0, max: PARTITIONS - 1 }),
          samples: fc.integer({ min: 1, max: 20 }),
          after: fc.constantFrom('nothing', 'settle', 'ask', 'settle and ask'),
          query: query(seconds),
        }),
        { minLength: 10, maxLength: 30, size: 'max' },
      ),
      queries: fc.array(query(seconds), { minLength: 1, maxLength: 4 }),
    })
    .map(({ deliveries, cuts, queries }) => {
      const all: Delivery[] = deliveries.flatMap(({ sample: first, partition, delay, again }) => [
        { sample: first, partition, due: first.at + delay },
        ...(again === null
          ? []
          : [
              {
                sample: again.moved ? { ...first, x: first.x + 1 } : first,
                partition: again.partition,
                due: first.at + again.delay,
              },
            ]),
      ]);
      return { acts: actsOf(all, cuts), queries };
    });
}

function actsOf(
  deliveries: readonly Delivery[],
  cuts: readonly {
    partition: number;
    samples: number;
    after: string;
    query: MetricsQuery;
  }[],
): Act[] {
  const queues = Array.from({ length: PARTITIONS }, (_, partition) =>
    deliveries
      .filter((each) => each.partition === partition)
      .toSorted((a, b) => a.due - b.due)
      .map((each) => each.sample),
  );
  const rest = queues.map((_, partition) => ({
    partition,
    samples: Infinity,
    after: 'nothing',
    query: cuts[0]!.query,
  }));
  return [...cuts, ...rest].flatMap(({ partition, samples, after, query: asked }): Act[] => {
    const given = queues[partition]!.splice(0, samples);
    return [
      ...(given.length > 0 ? [{ kind: 'give', partition, samples: given } as const] : []),
      ...(after.includes('settle') ? [{ kind: 'settle' } as const] : []),
      ...(after.includes('ask') ? [{ kind: 'ask', query: asked } as const] : []),
    ];
  });
}
