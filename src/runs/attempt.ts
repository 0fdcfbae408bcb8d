import type { Span, SpanContext } from '@opentelemetry/api';
import type { Log } from '../function.ts';
import type { HandlerTx } from '../state/database/handler-tx.ts';
import type { StoredMember } from '../state/runs/load-members.ts';
import type { WatchedTx } from './faults.ts';
import type { FunctionHandler } from './function-handler.ts';
import type { LeasedRun } from './run-queue.ts';

/** One attempt of a run. */
export interface Attempt extends Pick<LeasedRun, 'lease' | 'abort'> {
  /** The rows of its set, or the error of their load. */
  readonly members: readonly StoredMember[] | Error;
  /** Null if the attempt is not traced. */
  readonly span: Span | null;
  /** Trace context of the attempt; null if the trace is not sampled. */
  readonly trace: SpanContext | null;
  /** By `performance.now()`. */
  readonly startedAt: number;
}

/** One call of a handler: for one attempt, or for several of a function with batches. */
export interface HandlerCall {
  readonly attempts: readonly Attempt[];
  readonly handler: FunctionHandler;
  /** Aborts the call; of a single attempt, its own. */
  readonly abort: AbortController;
  /** The transaction that the handler writes in. */
  readonly tx: HandlerTx;
  readonly watchedTx: WatchedTx;
  readonly log: Log;
  /** Frees the slot once the handler has ended and holds no connection. */
  readonly leaveSlot: () => void;
}

/** Returns the controller for a call: of several attempts, one that each of theirs aborts, too. */
export function abortOf(attempts: readonly Attempt[]): AbortController {
  if (attempts.length === 1) return attempts[0]!.abort;
  const controller = new AbortController();
  for (const { abort } of attempts) {
    const { signal } = abort;
    if (signal.aborted) controller.abort(signal.reason);
    else signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
  }
  return controller;
}
