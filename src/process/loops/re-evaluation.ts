import { Loop } from '../../lib/loop.ts';
import { reEvaluate } from '../../state/ingest/re-evaluate.ts';
import type { Store } from '../../state/ingest/store.ts';
import { registrationsOf, retried, type EngineContext } from '../engine-context.ts';

const EVERY_MS = 60_000;

/** Re-evaluates the sets of functions whose rule has changed. */
export function startReEvaluation(
  context: EngineContext,
  store: Store,
  isClosed: () => boolean,
  firstMs: number,
): Loop {
  const served = registrationsOf(context);
  return new Loop(
    EVERY_MS,
    () => reEvaluate(context.database, store, served, isClosed),
    retried(context, 're-evaluating sets by a new rule'),
    firstMs,
  );
}
