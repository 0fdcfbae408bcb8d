import { expect, test } from 'vitest';
import { retry } from '../../src/lib/retry.ts';

/** Fails the given number of times, then returns the number of calls. */
function failing(times: number) {
  let calls = 0;
  return async () => {
    if (++calls <= times) throw new Error(`failure ${calls}`);
    return calls;
  };
}

test('a call is repeated until it succeeds, and each failure is reported before the wait', async () => {
  const failures: unknown[] = [];
  const onRetry = (error: unknown) => void failures.push((error as Error).message);
  const schedule = { attempts: Infinity, firstMs: 1, maxMs: 2 };
  expect(await retry(failing(3), schedule, { onRetry })).toBe(4);
  expect(failures).toEqual(['failure 1', 'failure 2', 'failure 3']);
});

test('the error of the last attempt is thrown', async () => {
  const schedule = { attempts: 3, firstMs: 0, maxMs: 0 };
  expect(await retry(failing(2), schedule)).toBe(3);
  await expect(retry(failing(3), schedule)).rejects.toThrow('failure 3');
});

test('an error that is not retryable is thrown immediately', async () => {
  const schedule = { attempts: 3, firstMs: 0, maxMs: 0, isRetryable: () => false };
  await expect(retry(failing(1), schedule)).rejects.toThrow('failure 1');
});

test('a wait ends with the value that `stopped` resolves with', async () => {
  const schedule = { attempts: Infinity, firstMs: 1_000, maxMs: 1_000 };
  const stopped = Promise.resolve('SIGTERM');
  await expect(retry(failing(1), schedule, { stopped })).rejects.toBe('SIGTERM');
});
