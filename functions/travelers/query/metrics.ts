import { type MetricsQuery, type Metrics } from './types.ts';
import type { Tx } from 'musterjs';
import { addStored } from './history.ts';
import { readProgress } from '../fold/progress.ts';
import { addStaged } from './provisional.ts';
import { refuse } from './refuse.ts';
import { knownSensors } from '../fold/sensors.ts';
import { StagedSamples } from '../fold/staged.ts';
import { Windows } from './windows.ts';

/**
 * Returns counts and speeds per window. `tx` must read a single snapshot (`begin isolation level repeatable read read
 * only`), because folded and staged samples are read one after the other.
 *
 * Seconds are kept for an hour and minutes for some weeks, so windows further back must begin and end on a full minute
 * or a full hour, respectively. Throws a QueryError if they don't, or if the query is invalid for another reason. A
 * caller that queries often should pass the same `staged` each time.
 */
export async function metrics(
  tx: Tx,
  query: MetricsQuery,
  staged = new StagedSamples(),
): Promise<Metrics> {
  const progress = await readProgress(tx);
  const { grain, count } = refuse(query, progress);
  const known = query.sensors === 'all' && query.groupBy.sensor ? await knownSensors(tx) : [];
  const windows = new Windows(query, count, known, progress.finalTo);
  await addStored(tx, windows, grain, progress);
  if (windows.to > progress.finalTo) {
    await addStaged(tx, windows, progress, staged);
  }
  return { steps: windows.steps() };
}
