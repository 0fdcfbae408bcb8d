import fc from 'fast-check';
import { expect, test } from 'vitest';
import { binOf, Histogram } from '../../../../functions/travelers/fold/histogram.ts';
import { seededRuns } from '../../../support/seeded.ts';

const speed = fc.oneof(
  fc.double({ min: 0, max: 100, noNaN: true }),
  fc.double({ min: 0, max: 1e9, noNaN: true }),
  fc.constantFrom(0, 4, 8, 16, 128, Number.MIN_VALUE),
);
const micros = fc.oneof(fc.integer({ min: 1, max: 300_000 }), fc.integer({ min: 1, max: 2 ** 50 }));

function histogramOf(speeds: readonly number[], time = 1): Histogram {
  const made = new Histogram();
  for (const each of speeds) made.add(binOf(each), time);
  return made;
}

test("the middle of a speed's bin is off by at most 1/16 ft/s or 1/64 of the speed", () => {
  fc.assert(
    fc.property(speed, (each) => {
      const middle = histogramOf([each]).percentiles([50])[0]!;
      expect(Math.abs(middle - each)).toBeLessThanOrEqual(Math.max(1 / 16, each / 64));
    }),
    seededRuns(10_000),
  );
});

test('bins rise with speeds', () => {
  fc.assert(
    fc.property(speed, speed, (a, b) => {
      expect(Math.sign(binOf(a) - binOf(b)) * Math.sign(a - b)).toBeGreaterThanOrEqual(0);
    }),
    seededRuns(10_000),
  );
});

test('packed, added and unpacked in any order, a histogram is identical to the byte', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(speed, micros)), fc.integer({ min: 0, max: 10 }), (all, cut) => {
      const parts = [all.slice(0, cut), all.slice(cut)].map((some) => {
        const part = new Histogram();
        for (const [each, time] of some) part.add(binOf(each), time);
        return part;
      });
      const whole = new Histogram();
      for (const [each, time] of all.toReversed()) whole.add(binOf(each), time);
      const unpacked = new Histogram();
      unpacked.addPacked(parts[1]!.pack());
      unpacked.merge(parts[0]!);
      expect(unpacked.pack()).toEqual(whole.pack());
    }),
    seededRuns(1_000),
  );
});

test('an empty histogram has no percentile', () => {
  expect(new Histogram().percentiles([50])).toEqual([]);
});
