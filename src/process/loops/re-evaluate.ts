import { Loop } from '../../lib/loop.ts';
import { reEvaluate } from '../../state/ingest/re-evaluate.ts';
import type { Parts } from '../parts.ts';

const EVERY_MS = 60_000;

/** Re-evaluates the stored sets of functions whose rule has changed. */
export function startReEvaluating(parts: Parts, firstMs: number): Loop {
  const { database, store, served, isClosed, onError } = parts;
  return new Loop(
    EVERY_MS,
    () => reEvaluate(database, store, served, isClosed),
    onError('re-evaluating sets by a new rule'),
    firstMs,
  );
}
