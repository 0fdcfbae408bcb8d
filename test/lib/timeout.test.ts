import { expect, test } from 'vitest';
import { TIMED_OUT, withTimeout } from '../../src/lib/timeout.ts';

test('work that ends in time gives its result', async () => {
  expect(await withTimeout(Promise.resolve(1), 60_000)).toBe(1);
  await expect(withTimeout(Promise.reject(new Error('failed')), 60_000)).rejects.toThrow('failed');
});

test('work that takes longer is left alone', async () => {
  expect(await withTimeout(new Promise(() => {}), 1)).toBe(TIMED_OUT);
});
