import { expect, test } from 'vitest';
import { waitAfter } from '../../src/lib/retry.ts';
import { toBackoff } from '../../src/runs/retry-policy.ts';

test('the delay doubles from first to max; half of it is jitter', () => {
  const backoff = toBackoff({ first: '1 second', max: '10 seconds', attempts: 7 });
  const waits = (random: number) =>
    [1, 2, 3, 4, 5, 6, 7].map((attempt) => waitAfter(attempt, backoff, () => random));
  expect(waits(0)).toEqual([500, 1000, 2000, 4000, 5000, 5000, null]);
  expect(waits(1)).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000, null]);
});

test('the default is ten attempts, with delays from one second to five minutes', () => {
  expect(toBackoff()).toEqual({ attempts: 10, firstMs: 1000, maxMs: 300_000 });
});

test('a single attempt is never retried', () => {
  expect(waitAfter(1, toBackoff({ attempts: 1 }))).toBe(null);
});

test('unlimited attempts stay at the maximum delay', () => {
  const backoff = { attempts: Infinity, firstMs: 1000, maxMs: 60_000 };
  expect(waitAfter(5000, backoff, () => 1)).toBe(60_000);
});
