import type { Bucket } from '../fold/buckets.ts';
import type { MetricsQuery, Series, Speed, Step } from './types.ts';
import { TYPES } from '../ingest/sample.ts';
import { ALL_SENSORS } from '../fold/tallies.ts';
import { Tally } from '../fold/tally.ts';

/** A bucket that lies in one window, or in several that overlap. */
export interface WindowPart extends Omit<Bucket, 'tally'> {
  readonly samples: number;
  /** Adds all of it, or all but who was in view at its start. */
  readonly addTo: (tally: Tally, withStart: boolean) => void;
}

/** A window that is being added up. */
interface Open {
  /** By series. */
  readonly tallies: (Tally | undefined)[];
  /** By group: those that were heard. */
  readonly alive: Set<number>;
}

/** Buckets added up to windows. Times in microseconds. */
export class Windows {
  /** Begin of the first window and end of the last. */
  readonly from: number;
  readonly to: number;
  /** Sensors whose buckets are to be added: one that stands for all, or each of them. */
  readonly sensors: readonly number[];
  readonly #count: number;
  readonly #step: number;
  readonly #length: number;
  readonly #finalTo: number;
  /** Sensors that share a series: the sum is one group, or each is its own (then this is its sensor). */
  readonly #groups: readonly (number | null)[];
  readonly #groupOf: ReadonlyMap<number, number>;
  /** Types of a group's series, and the series of each type, or -1. */
  readonly #types: readonly (number | null)[];
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
    const asked = query.sensors === 'all' ? known : query.sensors;
    const ids = [...new Set(asked)].toSorted((a, b) => a - b);
    this.sensors = query.sensors === 'all' && !groupBy.sensor ? [ALL_SENSORS] : ids;
    this.#groups = groupBy.sensor ? ids : [null];
    this.#groupOf = new Map(this.sensors.map((each, i) => [each, groupBy.sensor ? i : 0]));
    const types = [...TYPES.keys()].filter((type) => query.types.includes(TYPES[type]!));
    this.#types = groupBy.type ? types : [null];
    this.#seriesOf = TYPES.map((_, type) =>
      groupBy.type || !types.includes(type) ? types.indexOf(type) : 0,
    );
  }

  add({ sensor, type, start, samples, addTo }: WindowPart): void {
    // The windows that hold `start`: those that end after it, and begin at it or before.
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
      const place = group * this.#types.length + series;
      addTo((open.tallies[place] ??= new Tally()), start === this.from + window * this.#step);
    }
  }

  /**
   * Says that everything before `until` was added. What is final is put into numbers at once: sums of a
   * day of a hundred sensors would take hundreds of megabytes.
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

  /** What came together. */
  steps(): readonly Step[] {
    while (this.#steps.length < this.#count) this.#finish();
    return this.#steps;
  }

  /** Puts the next window into numbers. */
  #finish(): void {
    const window = this.#steps.length;
    const open = this.#open.get(window);
    this.#open.delete(window);
    const start = this.#startOf(window);
    const end = start + this.#length;
    const series = this.#groups.flatMap((sensor, group) =>
      this.#types.map((type, place) => ({
        sensor,
        type: type === null ? null : TYPES[type]!,
        alive: open?.alive.has(group) ?? false,
        ...numbersOf(open?.tallies[group * this.#types.length + place]),
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
