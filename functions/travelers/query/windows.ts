import type { Bucket } from '../fold/buckets.ts';
import type { MetricsQuery, Series, Speed, Step } from './types.ts';
import { TYPES } from '../ingest/sample.ts';
import { ALL_SENSORS } from '../fold/tallies.ts';
import { Tally } from '../fold/tally.ts';

/** A bucket to add to the window, or to the overlapping windows, that contain it. */
export interface WindowPart extends Omit<Bucket, 'tally'> {
  readonly samples: number;
  /** Adds the bucket to a tally, with or without the travelers in view at its start. */
  readonly addTo: (tally: Tally, withStart: boolean) => void;
}

/** A window to which buckets are still added. */
interface Open {
  /** The tally of each series. */
  readonly tallies: (Tally | undefined)[];
  /** The groups of which a sensor was heard. */
  readonly alive: Set<number>;
}

/** Adds up buckets to windows. Times are in microseconds. */
export class Windows {
  /** Start of the first window. */
  readonly from: number;
  /** End of the last window. */
  readonly to: number;
  /** Sensors whose buckets must be added: {@link ALL_SENSORS}, or each of the selected ones. */
  readonly sensors: readonly number[];
  readonly #count: number;
  readonly #step: number;
  readonly #length: number;
  readonly #finalTo: number;
  /** Groups of sensors that share series: one group for the sum (null), or one for each sensor. */
  readonly #groups: readonly (number | null)[];
  /** Index of the group of each sensor. */
  readonly #groupOf: ReadonlyMap<number, number>;
  /** Types of the series of each group; null for the sum. */
  readonly #types: readonly (number | null)[];
  /** Index in `#types` of each type's series; -1 if the type is not selected. */
  readonly #seriesOf: readonly number[];
  readonly #open = new Map<number, Open>();
  readonly #steps: Step[] = [];

  constructor(query: MetricsQuery, count: number, known: readonly number[], finalTo: number) {
    const { groupBy } = query;
    this.#count = count;
    this.#finalTo = finalTo;
    this.#step = query.stepMs * 1000;
    this.#length = query.windowMs * 1000;
    this.from = query.from * 1000 + this.#step - this.#length;
    this.to = query.from * 1000 + this.#step * count;
    const selected = query.sensors === 'all' ? known : query.sensors;
    const ids = [...new Set(selected)].toSorted((a, b) => a - b);
    this.sensors = query.sensors === 'all' && !groupBy.sensor ? [ALL_SENSORS] : ids;
    this.#groups = groupBy.sensor ? ids : [null];
    this.#groupOf = new Map(this.sensors.map((each, i) => [each, groupBy.sensor ? i : 0]));
    const types = [...TYPES.keys()].filter((type) => query.types.includes(TYPES[type]!));
    this.#types = groupBy.type ? types : [null];
    this.#seriesOf = TYPES.map((_, type) =>
      groupBy.type || !types.includes(type) ? types.indexOf(type) : 0,
    );
  }

  /** Adds a bucket to the windows that contain it. */
  add({ sensor, type, start, samples, addTo }: WindowPart): void {
    // These are the windows that begin at or before `start` and end after it.
    const first = Math.max(0, Math.floor((start - this.from - this.#length) / this.#step) + 1);
    const last = Math.min(this.#count - 1, Math.floor((start - this.from) / this.#step));
    const group = this.#groupOf.get(sensor)!;
    const series = this.#seriesOf[type]!;
    for (let window = first; window <= last; window++) {
      let open = this.#open.get(window);
      if (open === undefined) {
        open = { tallies: [], alive: new Set() };
        this.#open.set(window, open);
      }
      if (samples > 0) open.alive.add(group);
      if (series < 0) continue;
      const index = group * this.#types.length + series;
      addTo((open.tallies[index] ??= new Tally()), start === this.from + window * this.#step);
    }
  }

  /**
   * Must be called when all buckets before `until` have been added. Windows that are complete and final are reduced to
   * their numbers early, because the tallies of a day of a hundred sensors would take hundreds of megabytes.
   */
  passed(until: number): void {
    const end = Math.min(until, this.#finalTo);
    while (
      this.#steps.length < this.#count &&
      this.#startOf(this.#steps.length) + this.#length <= end
    ) {
      this.#finish();
    }
  }

  /** Returns all windows, when all buckets have been added. */
  steps(): readonly Step[] {
    while (this.#steps.length < this.#count) this.#finish();
    return this.#steps;
  }

  /** Reduces the next window to its numbers. */
  #finish(): void {
    const window = this.#steps.length;
    const open = this.#open.get(window);
    this.#open.delete(window);
    const start = this.#startOf(window);
    const end = start + this.#length;
    const series = this.#groups.flatMap((sensor, group) =>
      this.#types.map((type, index) => ({
        sensor,
        type: type === null ? null : TYPES[type]!,
        alive: open?.alive.has(group) ?? false,
        ...numbersOf(open?.tallies[group * this.#types.length + index]),
      })),
    );
    this.#steps.push({ start: start / 1000, end: end / 1000, final: end <= this.#finalTo, series });
  }

  #startOf(window: number): number {
    return this.from + window * this.#step;
  }
}

function numbersOf(
  tally: Tally | undefined,
): Pick<Series, 'present' | 'entered' | 'left' | 'speed'> {
  if (tally === undefined) return { present: 0, entered: 0, left: 0, speed: null };
  const { atStart, entered, left } = tally;
  return { present: atStart + entered, entered, left, speed: speedOf(tally) };
}

function speedOf(tally: Tally): Speed | null {
  const { average } = tally;
  if (average === null) return null;
  const [p50, p85, p95] = tally.percentiles([50, 85, 95]);
  return { min: tally.slowest, average, max: tally.fastest, p50: p50!, p85: p85!, p95: p95! };
}
