import { expect, test } from 'vitest';
import { TIMED_OUT, withTimeout } from '../../src/lib/timeout.ts';

test('returns the result of work that ends in time', async () => {
  expect(await withTimeout(Promise.resolve(1), 60_000)).toBe(1);
  await expect(withTimeout(Promise.reject(new Error('failed')), 60_000)).rejects.toThrow('failed');
});

test('returns TIMED_OUT for work that takes longer', async () => {
  expect(await withTimeout(new Promise(() => {}), 1)).toBe(TIMED_OUT);
});
