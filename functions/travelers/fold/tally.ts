import { Histogram, binOf } from './histogram.ts';

/** 10^-15 ft: so fine that the path of a single microsecond still gives its speed within 10^-9 ft/s. */
const UNITS_OF_FOOT = 1e15;

/**
 * What travelers did in a length of time: counts, sums and extremes. All sums are of integers, so they
 * are exact and the same in whatever order and by whatever detours they came together.
 */
export class Tally {
  /** Travelers in view at its start, who came before. */
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
  /** Path of the same parts: whole feet, and units of 10^-15 ft below a foot. */
  #feet = 0;
  #units = 0;

  /** A part of a segment: its path in feet, its time, and the speed of the whole segment. */
  addMove(path: number, micros: number, speed: number, bin = binOf(speed)): void {
    const feet = Math.floor(path);
    this.#addPath(feet, Math.round((path - feet) * UNITS_OF_FOOT));
    this.moved += micros;
    this.#addExtremes(speed, speed);
    (this.histogram ??= new Histogram()).add(bin, micros);
  }

  /** Adds what others did in the same time. */
  merge(other: Tally): void {
    this.atStart += other.atStart;
    this.append(other);
  }

  /** Adds what happened in a later part of this time, so that who was in view then is known already. */
  append(other: Tally): void {
    this.entered += other.entered;
    this.left += other.left;
    this.samples += other.samples;
    this.moved += other.moved;
    this.#addPath(other.#feet, other.#units);
    this.#addExtremes(other.slowest, other.fastest);
    if (other.histogram !== null) (this.histogram ??= new Histogram()).merge(other.histogram);
  }

  /** Decimal text of feet, exact. */
  get path(): string {
    return `${this.#feet}.${String(this.#units).padStart(15, '0')}`;
  }

  /** Adds moves as they are stored: `path` as {@link path} gave it, the histogram packed. */
  addMoves(path: string, moved: number, slowest: number, fastest: number, packed: Buffer): void {
    const point = path.indexOf('.');
    this.#addPath(Number(path.slice(0, point)), Number(path.slice(point + 1)));
    this.moved += moved;
    this.#addExtremes(slowest, fastest);
    (this.histogram ??= new Histogram()).addPacked(packed);
  }

  /** Feet per second; null where nobody moved. */
  get average(): number | null {
    if (this.moved === 0) return null;
    return (this.#feet + this.#units / UNITS_OF_FOOT) / (this.moved / 1e6);
  }

  /** Nearest rank by time, in feet per second; middles of bins of {@link Histogram}, but within the extremes. */
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
