import type { TravelerType } from '../ingest/sample.ts';

/** A query for the numbers of windows. Times are in milliseconds since 1970 UTC, and are whole seconds. */
export interface MetricsQuery {
  readonly sensors: readonly number[] | 'all';
  readonly types: readonly TravelerType[];
  readonly from: number;
  readonly to: number;
  /** Length of a step. The first is from `from` to `from + stepMs`; a remainder before `to` is ignored. */
  readonly stepMs: number;
  /** Length of each window. A window ends with its step, so windows longer than a step overlap. */
  readonly windowMs: number;
  /** Whether each sensor and each type has its own series; otherwise, they are summed. */
  readonly groupBy: { readonly sensor: boolean; readonly type: boolean };
}

/** The result of a query. */
export interface Metrics {
  /** In ascending order. */
  readonly steps: readonly Step[];
}

/** The numbers of one window. */
export interface Step {
  /** The window is [start, end), in milliseconds since 1970 UTC. */
  readonly start: number;
  readonly end: number;
  /** Whether the window is final, which means that its numbers never change again. */
  readonly final: boolean;
  /** The same series in each step: in ascending order of sensors, then pedestrians, bicyclists, vehicles. */
  readonly series: readonly Series[];
}

/** The numbers of a series in one window. */
export interface Series {
  /** Null for the sum of the selected sensors. */
  readonly sensor: number | null;
  /** Null for the sum of the selected types. */
  readonly type: TravelerType | null;
  /** Whether these sensors sent a sample of any type in the window; otherwise, the zeros below mean nothing. */
  readonly alive: boolean;
  /** Travelers in view during the window. One that is in view in several windows counts in each. */
  readonly present: number;
  readonly entered: number;
  readonly left: number;
  /** Speeds in feet per second; null if no traveler moved. */
  readonly speed: Speed | null;
}

/** Speeds in feet per second. */
export interface Speed {
  readonly min: number;
  /** Total path divided by total time. */
  readonly average: number;
  readonly max: number;
  /** Weighted by time; off by at most 1/16 ft/s or 1/64 of the speed, whichever is greater. */
  readonly p50: number;
  readonly p85: number;
  readonly p95: number;
}
