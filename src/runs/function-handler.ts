import type { RegisteredFunction } from '../definitions/registered-function.ts';
import type { FunctionDefinition } from '../function.ts';
import { milliseconds } from '../lib/duration.ts';
import type { Backoff } from '../lib/retry.ts';
import { timeoutMs, toBackoff } from './retry-policy.ts';

/** How many sets one call of a handler gets. */
export interface BatchSize {
  readonly size: number;
  /** How long a smaller batch waits for further sets. */
  readonly waitMs: number;
}

/** A registered function with its resolved retry, timeout and batch settings. */
export interface FunctionHandler {
  readonly definition: FunctionDefinition;
  readonly served: RegisteredFunction;
  readonly backoff: Backoff;
  readonly timeoutMs: number;
  /** Null if each call gets one set. */
  readonly batch: BatchSize | null;
}

export function toFunctionHandler(
  definition: FunctionDefinition,
  served: RegisteredFunction,
): FunctionHandler {
  const { batch } = definition;
  return {
    definition,
    served,
    backoff: toBackoff(definition.retry),
    timeoutMs: timeoutMs(definition),
    batch:
      batch === undefined
        ? null
        : { size: batch.size, waitMs: milliseconds(batch.wait ?? '0 seconds') },
  };
}
