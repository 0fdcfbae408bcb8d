import type { FunctionDefinition } from '../function.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import type { Backoff } from '../lib/retry.ts';
import { timeoutMs, toBackoff } from './retry-policy.ts';

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
