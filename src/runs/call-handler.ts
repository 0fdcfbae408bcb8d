import type { CompleteSet, FunctionDefinition, HandlerContext } from '../function.ts';
import { failpoint } from '../lib/failpoint.ts';
import type { Lease } from '../state/lease.ts';
import type { StoredMember } from '../state/runs/load-members.ts';
import { TimedOut } from './attempt-errors.ts';
import { toCompleteSet } from './complete-set.ts';
import type { FunctionHandler } from './function-handler.ts';
import { ownedBy } from './stray-errors.ts';

/**
 * Calls the handler with its timeout. Resolves with its return value, and rejects with the error it throws or with
 * the reason of `abort`. `onReturn` gets the milliseconds for which the call blocked the event loop.
 */
export async function callHandler(
  { definition, served, timeoutMs }: FunctionHandler,
  lease: Lease,
  members: readonly StoredMember[],
  context: HandlerContext,
  abort: AbortController,
  onReturn: (ms: number) => void,
): Promise<unknown> {
  const timer = setTimeout(
    () => abort.abort(new TimedOut(`the attempt took longer than ${timeoutMs} ms`)),
    timeoutMs,
  );
  let isOver = false;
  const owner = {
    function: definition.name,
    runId: context.runId,
    fail(error: unknown) {
      if (isOver) return false;
      abort.abort(error);
      return true;
    },
  };
  try {
    // A handler that ignores its signal is abandoned: its transaction is closed, and its lease ends.
    return await Promise.race([
      ownedBy(owner, () => {
        const calledAt = performance.now();
        const returned = call(definition, toCompleteSet(served, lease, members), context);
        onReturn(performance.now() - calledAt);
        return returned;
      }),
      aborted(abort.signal),
    ]);
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}

/** Async, so that a synchronous error of the handler rejects, too. */
async function call(definition: FunctionDefinition, set: CompleteSet, context: HandlerContext) {
  failpoint('in-handler');
  return definition.handle(set, context);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}
