import { type BatchedSet, type HandlerContext, TerminalError } from '../function.ts';
import { failpoint } from '../lib/failpoint.ts';
import { isBadValue } from '../state/database/database.ts';
import type { StoredMember } from '../state/runs/load-members.ts';
import type { OutboxEvent } from '../state/runs/runs.ts';
import { toTraceparent } from '../telemetry/trace.ts';
import type { Attempt, HandlerCall } from './attempt.ts';
import { SetTooLarge, TimedOut } from './attempt-errors.ts';
import { toCompleteSet } from './complete-set.ts';
import { handlerLog } from './handler-log.ts';
import { toBatchEvents, toOutboxEvents } from './outbox-events.ts';
import { runIdOf } from './run-id.ts';
import { ownedBy } from './stray-errors.ts';

/** An attempt whose rows are loaded. */
interface LoadedAttempt extends Attempt {
  readonly members: readonly StoredMember[];
}

interface LoadedCall extends HandlerCall {
  readonly attempts: readonly LoadedAttempt[];
}

/**
 * Calls the handler with its timeout. Resolves with the events that it returned, by attempt. Rejects with the error
 * it throws, with that of a failed load, or with the reason of `abort`. `onReturn` gets the milliseconds for which the call blocked the
 * event loop.
 */
export async function callHandler(
  unchecked: HandlerCall,
  onReturn: (ms: number) => void,
): Promise<OutboxEvent[][]> {
  requireStartable(unchecked);
  const call: LoadedCall = { ...unchecked, attempts: requireLoaded(unchecked) };
  const { attempts, handler, abort } = call;
  const { definition, timeoutMs, batch } = handler;
  const leases = attempts.map(({ lease }) => lease);
  const timer = setTimeout(
    () => abort.abort(new TimedOut(`the attempt took longer than ${timeoutMs} ms`)),
    timeoutMs,
  );
  let isOver = false;
  const owner = {
    function: definition.name,
    runId: runIdOf(definition.name, leases[0]!),
    fail(error: unknown) {
      if (isOver) return false;
      abort.abort(error);
      return true;
    },
  };
  try {
    // A handler that ignores its signal is abandoned: its transaction is closed, and its lease ends.
    const returned = await Promise.race([
      ownedBy(owner, () => {
        const calledAt = performance.now();
        const promise = batch === null ? handleOne(call) : handleAll(call);
        onReturn(performance.now() - calledAt);
        return promise;
      }),
      aborted(abort.signal),
    ]);
    return batch === null
      ? [toOutboxEvents(definition.name, leases[0]!, returned)]
      : toBatchEvents(definition.name, leases, returned);
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}

/** Async, so that a synchronous error of the handler rejects, too. */
async function handleOne({ attempts, handler, ...call }: LoadedCall): Promise<unknown> {
  const { definition, served } = handler;
  const { lease, members, trace } = attempts[0]!;
  failpoint('in-handler');
  const context: HandlerContext = {
    tx: call.watchedTx,
    runId: runIdOf(definition.name, lease),
    attempt: lease.attempt,
    signal: call.abort.signal,
    log: handlerLog(call.log),
    traceparent: trace === null ? null : toTraceparent(trace),
  };
  return definition.handle!(toCompleteSet(served, lease, members), context);
}

async function handleAll({ attempts, handler, ...call }: LoadedCall): Promise<unknown> {
  const { definition, served } = handler;
  failpoint('in-handler');
  const sets = attempts.map(({ lease, members, trace }): BatchedSet => ({
    ...toCompleteSet(served, lease, members),
    runId: runIdOf(definition.name, lease),
    attempt: lease.attempt,
    traceparent: trace === null ? null : toTraceparent(trace),
  }));
  const { watchedTx: tx, abort, log } = call;
  return definition.handleAll!(sets, { tx, signal: abort.signal, log: handlerLog(log) });
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

/** Throws if the call was aborted, or if its run exceeds the function's maximum number of attempts. */
function requireStartable({ attempts, handler: { backoff }, abort }: HandlerCall): void {
  abort.signal.throwIfAborted();
  if (attempts[0]!.lease.attempt > backoff.attempts) {
    throw new TerminalError(
      `given up after ${backoff.attempts} attempts that ended with their process`,
    );
  }
}

/**
 * Throws the error of a failed load. It is a fault of the database, which the handler did not cause, unless the
 * rows can never be loaded: then the attempt counts.
 */
function requireLoaded({ attempts, watchedTx }: HandlerCall): readonly LoadedAttempt[] {
  for (const { members } of attempts) {
    if (!(members instanceof Error)) continue;
    if (!(members instanceof SetTooLarge || isBadValue(members))) watchedTx.blame(members);
    throw members;
  }
  return attempts as readonly LoadedAttempt[];
}
