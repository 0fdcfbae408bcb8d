import { setTimeout as sleep } from 'node:timers/promises';

/** Number of attempts, and the waits between them, which double from `firstMs` up to `maxMs`. */
export interface Backoff {
  readonly attempts: number;
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Returns the milliseconds to wait after the given attempt (counted from 1) has failed; null if it was the
 * last one. Half of the wait is jitter, so that work that failed together is not retried together.
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

/** A named policy of {@link retry}. */
export interface RetrySchedule extends Backoff {
  /** Whether another attempt can help after this error. Default: always. */
  readonly isRetryable?: (error: unknown) => boolean;
}

export interface RetryHooks {
  /** Called before each wait. */
  readonly onRetry?: (error: unknown) => void;
  /** Ends a wait: `retry` then rejects with the value that this resolves with. */
  readonly stopped?: Promise<unknown>;
}

/** A `random` with which {@link waitAfter} returns its bound. */
export const withoutJitter = (): number => 1;

/** Calls `work` until it succeeds; rejects with its error if the schedule allows no further attempt. */
export async function retry<T>(
  work: () => Promise<T>,
  schedule: RetrySchedule,
  { onRetry, stopped }: RetryHooks = {},
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const waitMs = waitAfter(attempt, schedule, withoutJitter);
      if (waitMs === null || schedule.isRetryable?.(error) === false) throw error;
      onRetry?.(error);
      if (stopped !== undefined) {
        await Promise.race([sleep(waitMs), stopped.then((reason) => Promise.reject(reason))]);
      } else if (waitMs > 0) {
        await sleep(waitMs);
      }
    }
  }
}
