import type { Options } from '../options.ts';
import type { Sample } from './sample.ts';

/**
 * How far a partition has come in time, which its newest sample alone does not tell: a sensor whose clock
 * is fast would make the samples of all others late. So the newest time counts unless other sensors
 * contradict it, twice, with samples that would not be late without it. From then on the time counts that
 * another sensor has reached, until the two agree again. The first of the contradicting samples is late.
 * It depends on the order of the partition's samples alone, and not on how it is cut into chunks.
 *
 * Two sensors that are fast at the same time vouch for each other. Of a sensor that is farther ahead of
 * the others than samples may be ahead of now, the others are taken to be silent.
 */
export interface Heard {
  /** The newest time, 0 = none yet, and the sensor that brought it. */
  readonly newest: number;
  readonly sensor: number;
  /** The newest time of any other sensor; 0 = none. */
  readonly second: number;
  /** Samples that contradicted the newest time, up to {@link ENOUGH}. */
  readonly doubts: number;
}

const ENOUGH = 2;

type Bounds = Pick<Options, 'lateness' | 'aheadAtMost'>;

/** Follows the samples of a partition. Times in microseconds. */
export class Hearing implements Heard {
  newest: number;
  sensor: number;
  second: number;
  doubts: number;
  readonly #bounds: Bounds;

  constructor({ newest, sensor, second, doubts }: Heard, bounds: Bounds) {
    this.newest = newest;
    this.sensor = sensor;
    this.second = second;
    this.doubts = doubts;
    this.#bounds = bounds;
  }

  /** How far the partition has come. */
  get reached(): number {
    return this.doubts >= ENOUGH ? this.second : this.newest;
  }

  /** Hears the next sample, which is `late` by what was heard before, or `ahead` of what all others say. */
  hear({ at, sensor }: Sample): { late: boolean; ahead: boolean } {
    const { lateness } = this.#bounds;
    const isOther = sensor !== this.sensor;
    const contradicts = at < this.newest - lateness && at >= this.second - lateness;
    if (isOther && contradicts && this.doubts < ENOUGH) this.doubts++;
    const late = at < this.reached - lateness;
    if (at > this.newest) {
      if (isOther) {
        this.second = this.newest;
        this.sensor = sensor;
        this.doubts = 0;
      }
      this.newest = at;
    } else if (isOther && at > this.second) {
      this.second = at;
    }
    const gap = this.newest - this.second;
    if (gap <= lateness || gap > this.#bounds.aheadAtMost) this.doubts = 0;
    return { late, ahead: !isOther && this.doubts >= ENOUGH && at > this.second + lateness };
  }
}
