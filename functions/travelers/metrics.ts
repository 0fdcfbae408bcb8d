import type { Tx } from '../../src/function.ts';
import type { TravelerType } from './sample.ts';

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

/** The question can't be answered, whenever it is asked again; `field` is the one of {@link MetricsQuery} to change. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
  readonly field: keyof MetricsQuery;

  constructor(field: keyof MetricsQuery, message: string) {
    super(message);
    this.field = field;
  }
}

/**
 * Counts and speeds per window. `tx` must show one moment (`begin isolation level repeatable read read
 * only`), because what is folded and what is still staged are read one after the other.
 *
 * Seconds are kept for some hours and minutes for some weeks, so windows further back must begin and
 * end with a minute, or with an hour; throws {@link QueryError} where they don't.
 */
export async function metrics(_tx: Tx, _query: MetricsQuery): Promise<Metrics> {
  throw new Error('to come');
}

export interface SensorState {
  readonly sensor: number;
  /** Times of its oldest and newest sample, milliseconds since 1970 UTC. */
  readonly firstHeard: number;
  readonly lastHeard: number;
  /** Samples that came too late to be counted, ever. */
  readonly late: number;
}

/** Every sensor ever heard, rising. */
export async function sensors(_tx: Tx): Promise<SensorState[]> {
  throw new Error('to come');
}

/** How far things are, milliseconds since 1970 UTC with microseconds as decimals; null where nothing was heard. */
export interface Newest {
  /** Time of the newest sample: windows that end by then are as whole as they are now. */
  readonly newest: number | null;
  /** Windows that end by then are final. */
  readonly finalTo: number | null;
  /** Changes whenever a provisional window may have changed. */
  readonly version: string;
}

export async function newest(_tx: Tx): Promise<Newest> {
  throw new Error('to come');
}

export interface Late {
  readonly sensor: number;
  /** Milliseconds since 1970 UTC; a minute begins there. */
  readonly start: number;
  readonly samples: number;
}

/** Samples that came too late to be counted, by sensor and minute, of the minutes that touch [from, to). */
export async function late(
  _tx: Tx,
  _query: Pick<MetricsQuery, 'sensors' | 'from' | 'to'>,
): Promise<Late[]> {
  throw new Error('to come');
}
