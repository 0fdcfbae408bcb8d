import type { FunctionDefinition, RetryPolicy } from '../function.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { milliseconds } from '../lib/duration.ts';
import type { Backoff } from '../lib/retry.ts';

/** A registered function with its resolved retry and timeout settings. */
export interface FunctionHandler {
  readonly definition: FunctionDefinition;
  readonly served: RegisteredFunction;
  readonly backoff: Backoff;
  readonly timeoutMs: number;
}

export function toFunctionHandler(
  definition: FunctionDefinition,
  served: RegisteredFunction,
): FunctionHandler {
  const backoff = toBackoff(definition.retry);
  return { definition, served, backoff, timeoutMs: timeoutMs(definition) };
}

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
