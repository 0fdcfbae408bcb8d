import { Loop } from '../../lib/loop.ts';
import type { Runner } from '../../runs/runner.ts';
import { retried, type EngineContext } from '../engine-context.ts';

/** Claims due runs for the free slots of this process. */
export function startClaiming(
  context: EngineContext,
  runner: Runner,
  isClosed: () => boolean,
): Loop {
  return new Loop(
    context.config.CLAIM_SECONDS * 1000,
    async () => (isClosed() ? undefined : runner.claim()),
    retried(context, 'claiming runs'),
  );
}
