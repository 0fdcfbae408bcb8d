import type { TravelerType } from '../ingest/sample.ts';

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
