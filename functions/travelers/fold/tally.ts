import { Histogram, binOf } from './histogram.ts';

/** The unit of paths is 10^-15 ft: the path of a single microsecond still yields its speed within 10^-9 ft/s. */
const UNITS_OF_FOOT = 1e15;

/**
 * Counts, sums and extremes of travelers in a period of time. All sums are of integers, so they are exact and do not
 * depend on the order or the intermediate sums in which they were added up.
 */
export class Tally {
  /** Travelers in view at its start that came before it. */
  atStart = 0;
  /** Visits whose first sample is in it. */
  entered = 0;
  /** Visits whose last sample is in it. */
  left = 0;
  samples = 0;
  /** Microseconds of the parts of segments that lie in it. */
  moved = 0;
  /** Feet per second of whole segments that touch it. */
  slowest = Infinity;
  fastest = -Infinity;
  histogram: Histogram | null = null;
  /** Path of the same parts: whole feet, and the rest in units of 10^-15 ft. */
  #feet = 0;
  #units = 0;

  /** Adds a part of a segment: its path in feet, its duration, and the speed of the whole segment. */
  addMove(path: number, micros: number, speed: number, bin = binOf(speed)): void {
    const feet = Math.floor(path);
    this.#addPath(feet, Math.round((path - feet) * UNITS_OF_FOOT));
    this.moved += micros;
    this.#addExtremes(speed, speed);
    (this.histogram ??= new Histogram()).add(bin, micros);
  }

  /** Adds the tally of others in the same period. */
  merge(other: Tally): void {
    this.atStart += other.atStart;
    this.append(other);
  }

  /** Adds the tally of a later part of this period. Its `atStart` is not added: those travelers are counted already. */
  append(other: Tally): void {
    this.entered += other.entered;
    this.left += other.left;
    this.samples += other.samples;
    this.moved += other.moved;
    this.#addPath(other.#feet, other.#units);
    this.#addExtremes(other.slowest, other.fastest);
    if (other.histogram !== null) (this.histogram ??= new Histogram()).merge(other.histogram);
  }

  /** The exact path in feet, as decimal text. */
  get path(): string {
    return `${this.#feet}.${String(this.#units).padStart(15, '0')}`;
  }

  /** Adds stored moves: `path` is in the format of {@link path}, the histogram is packed. */
  addMoves(path: string, moved: number, slowest: number, fastest: number, packed: Buffer): void {
    const point = path.indexOf('.');
    this.#addPath(Number(path.slice(0, point)), Number(path.slice(point + 1)));
    this.moved += moved;
    this.#addExtremes(slowest, fastest);
    (this.histogram ??= new Histogram()).addPacked(packed);
  }

  /** The average speed in feet per second; null if no traveler moved. */
  get average(): number | null {
    if (this.moved === 0) return null;
    return (this.#feet + this.#units / UNITS_OF_FOOT) / (this.moved / 1e6);
  }

  /** Returns {@link Histogram.percentiles}, clamped to the slowest and fastest speeds; empty if no traveler moved. */
  percentiles(percents: readonly number[]): number[] {
    const middles = this.histogram?.percentiles(percents) ?? [];
    return middles.map((middle) => Math.min(Math.max(middle, this.slowest), this.fastest));
  }

  #addExtremes(slowest: number, fastest: number): void {
    if (slowest < this.slowest) this.slowest = slowest;
    if (fastest > this.fastest) this.fastest = fastest;
  }

  #addPath(feet: number, units: number): void {
    this.#feet += feet;
    this.#units += units;
    if (this.#units >= UNITS_OF_FOOT) {
      this.#feet += 1;
      this.#units -= UNITS_OF_FOOT;
    }
  }
}
