import type { RegisteredFunction } from '../definitions/registered-function.ts';
import type { FunctionDefinition } from '../function.ts';
import { milliseconds } from '../lib/duration.ts';
import type { Backoff } from '../lib/retry.ts';
import type { Lease } from '../state/lease.ts';
import { timeoutMs, toBackoff } from './retry-policy.ts';
import { mayShareCall } from './suspects.ts';

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

/**
 * Returns the batch that a run may share with others; null if it runs alone. One whose attempt has failed, or ended
 * otherwise, runs alone from then on: in a batch, it might fail the others again.
 */
export function batchFor({ batch }: FunctionHandler, lease: Lease): BatchSize | null {
  return mayShareCall(lease) ? batch : null;
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
