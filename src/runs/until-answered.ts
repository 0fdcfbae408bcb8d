import type { Log } from '../function.ts';
import { redactedErrorText } from '../lib/error-text.ts';
import { retry, type RetrySchedule } from '../lib/retry.ts';
import { isBadValue } from '../state/database/database.ts';

const UNTIL_ANSWERED: RetrySchedule = {
  attempts: Infinity,
  firstMs: 100,
  maxMs: 2_000,
  isRetryable: (error) => !isBadValue(error),
};

/** Repeats a statement until the database answers. The run stays leased to this process until then. */
export function untilAnswered<T>(statement: () => Promise<T>, log: Log): Promise<T> {
  return retry(statement, UNTIL_ANSWERED, {
    onRetry: (error) =>
      log.warn({ error: redactedErrorText(error) }, 'the database does not answer; trying again'),
  });
}
