/** What the API says, as types: the page is compiled against them too, so they name nothing of Node. */

/** A value for each window; null where the sensors were not heard, or (a speed) nobody moved. */
export type Column = (number | null)[];

/** Feet per second, over the parts of moves that lie in the window. */
interface Speeds {
  min: Column;
  /** Path by time. */
  average: Column;
  max: Column;
  /** Percentiles by time: so much of the time that travelers moved, they moved no faster. */
  p50: Column;
  p85: Column;
  p95: Column;
}

/** One line of a chart: one sensor or the sum of several, one type or the sum of several. */
export interface Series {
  /** As asked for: `all`, `17`, or `17,18` for a sum. */
  sensor: string;
  type: string;
  /** Travelers in view in the window; who is in several windows counts in each. */
  present: Column;
  /** Visits that began in the window. */
  entered: Column;
  /** Visits that ended in the window. */
  left: Column;
  speed: Speeds;
}

/** Answer of `/metrics`, and data of each `metrics` event of `/live`: columns have a value for each window. */
export interface MetricsAnswer {
  /** Zone of the times in this answer. */
  tz: string;
  /** Milliseconds from one window to the next. */
  stepMs: number;
  /** Length of each window in milliseconds. */
  windowMs: number;
  /** Ends of the windows, rising, RFC 3339; a window is [end - window, end). */
  ends: string[];
  /** True where the window's numbers may still change. */
  provisional: boolean[];
  series: Series[];
}

export interface Sensor {
  id: number;
  /** Times of its oldest and newest sample, RFC 3339. */
  firstHeard: string;
  lastHeard: string;
  /** Samples that came later than the lateness bound, and are in no number. */
  late: number;
  /** Samples that other sensors contradict: the sensor's clock is fast. They are in the windows of their time. */
  ahead: number;
}

/** Answer of `/sensors`. */
export interface SensorsAnswer {
  sensors: Sensor[];
  /** Time that was reached, RFC 3339: of the newest sample that others don't contradict; null while nothing was heard. */
  newest: string | null;
  /** Windows that end by then are final. */
  finalTo: string | null;
}
