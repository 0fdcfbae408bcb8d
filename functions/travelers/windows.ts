import type { Bucket } from './buckets.ts';
import type { MetricsQuery, Series, Speed, Step } from './metrics.ts';
import { TYPES } from './sample.ts';
import { ALL_SENSORS } from './tallies.ts';
import { Tally } from './tally.ts';

/** What a bucket adds to: all of it, or all but who was in view at its start. */
type Add = (tally: Tally, withStart: boolean) => void;

/** Buckets added up to windows. Times in microseconds. */
export class Windows {
  /** Begin of the first window and end of the last. */
  readonly from: number;
  readonly to: number;
  /** Sensors whose buckets are to be added: one that stands for all, or each of them. */
  readonly sensors: readonly number[];
  readonly #query: MetricsQuery;
  readonly #count: number;
  readonly #step: number;
  readonly #length: number;
  /** Series of each sensor and type; more than one sensor or type may be in a series. */
  readonly #series: readonly { readonly sensor: number | null; readonly type: number | null }[];
  readonly #seriesOf = new Map<number, number>();
  /** By window and series. */
  readonly #tallies: (Tally | undefined)[] = [];
  /** By window and sensor, or by window where sensors are summed. */
  readonly #alive = new Set<string>();

  constructor(query: MetricsQuery, count: number, known: readonly number[]) {
    this.#query = query;
    this.#count = count;
    this.#step = query.stepMs * 1000;
    this.#length = query.windowMs * 1000;
    this.from = query.from * 1000 + this.#step - this.#length;
    this.to = query.from * 1000 + this.#step * count;
    const bySensor = query.groupBy.sensor;
    const asked = query.sensors === 'all' ? known : query.sensors;
    const ids = [...new Set(asked)].toSorted((a, b) => a - b);
    this.sensors = query.sensors === 'all' && !bySensor ? [ALL_SENSORS] : ids;
    const types = [...TYPES.keys()].filter((type) => query.types.includes(TYPES[type]!));
    this.#series = (bySensor ? ids : [null]).flatMap((sensor) =>
      (query.groupBy.type ? types : [null]).map((type) => ({ sensor, type })),
    );
    this.#series.forEach(({ sensor, type }, place) => {
      for (const each of sensor === null ? this.sensors : [sensor]) {
        for (const one of type === null ? types : [type])
          this.#seriesOf.set(keyOf(each, one), place);
      }
    });
  }

  add({ sensor, type, start, samples, addTo }: WindowPart): void {
    // The windows that hold `start`: those that end after it, and begin at it or before.
    const first = Math.max(0, Math.floor((start - this.from - this.#length) / this.#step) + 1);
    const last = Math.min(this.#count - 1, Math.floor((start - this.from) / this.#step));
    const series = this.#seriesOf.get(keyOf(sensor, type));
    for (let window = first; window <= last; window++) {
      if (samples > 0) this.#alive.add(this.#aliveKey(window, sensor));
      if (series === undefined) continue;
      const place = window * this.#series.length + series;
      addTo((this.#tallies[place] ??= new Tally()), start === this.from + window * this.#step);
    }
  }

  /** What came together. */
  steps(finalTo: number): Step[] {
    return Array.from({ length: this.#count }, (_, window) => {
      const start = this.from + window * this.#step;
      const end = start + this.#length;
      return {
        start: start / 1000,
        end: end / 1000,
        final: end <= finalTo,
        series: this.#series.map(({ sensor, type }, place) => ({
          sensor,
          type: type === null ? null : TYPES[type]!,
          alive: this.#alive.has(this.#aliveKey(window, sensor)),
          ...numbersOf(this.#tallies[window * this.#series.length + place]),
        })),
      };
    });
  }

  #aliveKey(window: number, sensor: number | null): string {
    return this.#query.groupBy.sensor ? `${window} ${sensor}` : `${window}`;
  }
}

/** A bucket that lies in one window, or in several that overlap. */
export interface WindowPart extends Omit<Bucket, 'tally'> {
  readonly samples: number;
  readonly addTo: Add;
}

function keyOf(sensor: number, type: number): number {
  return sensor * 4 + type;
}

function numbersOf(
  tally: Tally | undefined,
): Pick<Series, 'present' | 'entered' | 'left' | 'speed'> {
  if (tally === undefined) return { present: 0, entered: 0, left: 0, speed: null };
  const { atStart, entered, left } = tally;
  return { present: atStart + entered, entered, left, speed: speedOf(tally) };
}

function speedOf(tally: Tally): Speed | null {
  const average = tally.average;
  if (average === null) return null;
  return {
    min: tally.slowest,
    average,
    max: tally.fastest,
    p50: tally.percentile(50)!,
    p85: tally.percentile(85)!,
    p95: tally.percentile(95)!,
  };
}
