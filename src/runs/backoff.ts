import { milliseconds } from '../lib/duration.ts';
import type { RetryPolicy } from '../function.ts';

/** A retry policy with every default written out. */
export interface Backoff {
  readonly attempts: number;
  readonly firstMs: number;
  readonly maxMs: number;
}

export function toBackoff(policy: RetryPolicy = {}): Backoff {
  return {
    attempts: policy.attempts ?? 10,
    firstMs: milliseconds(policy.first ?? '1 second'),
    maxMs: milliseconds(policy.max ?? '5 minutes'),
  };
}

/**
 * Milliseconds to wait after the given attempt failed, null if it was the last one. The bound doubles
 * with each attempt up to `maxMs`; half of it is jitter, so that runs which failed together do not
 * come back together.
 */
export function waitAfter(
  attempt: number,
  backoff: Backoff,
  random: () => number = Math.random,
): number | null {
  if (attempt >= backoff.attempts) return null;
  const bound = Math.min(backoff.maxMs, backoff.firstMs * 2 ** (attempt - 1));
  return (bound / 2) * (1 + random());
}
