import type { Tx } from '../../../src/function.ts';
import { addStored } from './history.ts';
import { readProgress } from '../fold/progress.ts';
import { addStaged } from './provisional.ts';
import { refuse } from './refuse.ts';
import type { TravelerType } from '../ingest/sample.ts';
import { knownSensors } from '../fold/sensors.ts';
import { StagedSamples } from '../fold/staged.ts';
import { Windows } from './windows.ts';

/** Which windows, of whom. Times are milliseconds since 1970 UTC and whole seconds. */
export interface MetricsQuery {
  readonly sensors: readonly number[] | 'all';
  readonly types: readonly TravelerType[];
  readonly from: number;
  readonly to: number;
  /** From one step to the next, the first from `from` to `from + stepMs`; a rest before `to` is left out. */
  readonly stepMs: number;
  /** Length of each window; it ends with its step, so with a longer window they overlap. */
  readonly windowMs: number;
  /** A series for each sensor, or their sum; for each type, or their sum. */
  readonly groupBy: { readonly sensor: boolean; readonly type: boolean };
}

export interface Metrics {
  /** Rising. */
  readonly steps: readonly Step[];
}

export interface Step {
  /** The window is [start, end), milliseconds since 1970 UTC. */
  readonly start: number;
  readonly end: number;
  /** Nothing in it will ever change. */
  readonly final: boolean;
  /** The same in each step: rising by sensor, then pedestrians, bicyclists, vehicles. */
  readonly series: readonly Series[];
}

export interface Series {
  /** Null for the sum of those asked for. */
  readonly sensor: number | null;
  readonly type: TravelerType | null;
  /** Any sample of these sensors, of whatever type, falls in the window; else the zeros below say nothing. */
  readonly alive: boolean;
  /** Travelers in view in the window; who is in several windows counts in each. */
  readonly present: number;
  readonly entered: number;
  readonly left: number;
  /** Feet per second; null where nobody moved. */
  readonly speed: Speed | null;
}

export interface Speed {
  readonly min: number;
  /** Path by time. */
  readonly average: number;
  readonly max: number;
  /** By time; off by 1/16 ft/s or 1/64 of it at most, whichever is more. */
  readonly p50: number;
  readonly p85: number;
  readonly p95: number;
}

/**
 * Counts and speeds per window. `tx` must show one moment (`begin isolation level repeatable read read
 * only`), because what is folded and what is still staged are read one after the other.
 *
 * Seconds are kept for an hour and minutes for some weeks, so windows further back must begin and end
 * with a minute, or with an hour. Throws a QueryError where they don't, and for other questions that
 * can't be answered. Who asks often keeps a `staged`.
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
