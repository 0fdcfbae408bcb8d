import type { FunctionDefinition, RetryPolicy } from '../function.ts';
import { milliseconds } from '../lib/duration.ts';
import type { Backoff } from '../lib/retry.ts';

/** Timeout of one attempt of the function, in milliseconds. */
export function timeoutMs(definition: FunctionDefinition): number {
  return milliseconds(definition.timeout ?? '5 minutes');
}

/** Resolves a function's retry policy with its defaults. */
export function toBackoff(policy: RetryPolicy = {}): Backoff {
  return {
    attempts: policy.attempts ?? 10,
    firstMs: milliseconds(policy.first ?? '1 second'),
    maxMs: milliseconds(policy.max ?? '5 minutes'),
  };
}
