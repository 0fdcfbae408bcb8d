import { expect, test } from 'vitest';
import { WindowCache } from '../../../../functions/travelers/console/cache.ts';
import type { Selection, Windows } from '../../../../functions/travelers/console/query.ts';
import { Zone } from '../../../../functions/travelers/console/zone.ts';
import type { Step } from '../../../../functions/travelers/query/types.ts';

const selection: Selection = {
  sensors: null,
  types: ['vehicle'],
  bySensor: false,
  byType: false,
  step: 10,
  window: 10,
  zone: new Zone('UTC'),
};

/** A source in which windows that end by `finalTo` are final; it records its queries. */
function sourceUntil(finalTo: number) {
  const queries: Windows[] = [];
  const source = {
    finalTo,
    async windows({ step }: Selection, windows: Windows): Promise<Step[]> {
      queries.push(windows);
      const steps: Step[] = [];
      for (let end = windows.first; end <= windows.last; end += step) {
        steps.push({ start: end - step, end, final: end <= source.finalTo, series: [] });
      }
      return steps;
    },
  };
  return { source, queries };
}

const ends = async (cache: WindowCache, first: number, last: number) =>
  (await cache.read(selection, { first, last })).map((each) => each.end);

test('final windows are read once, others again', async () => {
  const { source, queries } = sourceUntil(30);
  const cache = new WindowCache(source);
  expect(await ends(cache, 10, 50)).toEqual([10, 20, 30, 40, 50]);
  expect(await ends(cache, 10, 60)).toEqual([10, 20, 30, 40, 50, 60]);
  source.finalTo = 60;
  expect(await ends(cache, 20, 60)).toEqual([20, 30, 40, 50, 60]);
  expect(await ends(cache, 20, 60)).toEqual([20, 30, 40, 50, 60]);
  expect(queries).toEqual([
    { first: 10, last: 50 },
    { first: 40, last: 60 },
    { first: 40, last: 60 },
  ]);
});

test('windows between cached ones are read separately', async () => {
  const { source, queries } = sourceUntil(100);
  const cache = new WindowCache(source);
  await ends(cache, 30, 30);
  await ends(cache, 60, 70);
  expect(await ends(cache, 10, 80)).toEqual([10, 20, 30, 40, 50, 60, 70, 80]);
  expect(queries.slice(2)).toEqual([
    { first: 10, last: 20 },
    { first: 40, last: 50 },
    { first: 80, last: 80 },
  ]);
});

test('concurrent requests are read once, and an error is not cached', async () => {
  const { source, queries } = sourceUntil(0);
  const cache = new WindowCache(source);
  await Promise.all([ends(cache, 10, 50), ends(cache, 10, 50), ends(cache, 10, 50)]);
  expect(queries).toHaveLength(1);

  let failures = 1;
  const failing = new WindowCache({
    async windows(...given) {
      if (failures-- > 0) throw new Error('away');
      return source.windows(...given);
    },
  });
  await expect(ends(failing, 10, 20)).rejects.toThrow('away');
  expect(await ends(failing, 10, 20)).toEqual([10, 20]);
});

test('the least recently used windows are evicted first', async () => {
  const { source, queries } = sourceUntil(1e9);
  const cache = new WindowCache(source, 600);
  const block = 256 * selection.step;
  for (const each of [0, 1]) await ends(cache, each * block, (each + 1) * block - 10);
  await ends(cache, 0, 10);
  await ends(cache, 2 * block, 3 * block - 10);
  expect(queries).toHaveLength(3);
  await ends(cache, 0, block - 10);
  expect(queries).toHaveLength(3);
  await ends(cache, block, block);
  expect(queries).toHaveLength(4);
});
