import type { Options } from '../options.ts';
import type { Sample } from './sample.ts';

/**
 * The state from which the time that a partition has reached is computed. That time is not simply the newest one of
 * its samples, because a sensor whose clock is fast would then make the samples of all other sensors late. The
 * newest time counts unless other sensors contradict it twice, with samples that would not be late without it.
 * From then on, the newest time of any other sensor counts, until the two times agree again. The first of the
 * contradicting samples is late. The result depends only on the order of the partition's samples, and not on how the
 * partition is divided into chunks.
 *
 * Two sensors that are fast at the same time confirm each other. If a sensor is ahead of all others by more than a
 * sample may be ahead of the current time, the others are assumed to be silent.
 */
export interface Heard {
  /** The newest time, and the sensor that sent it; 0 if there is none yet. */
  readonly newest: number;
  readonly sensor: number;
  /** The newest time of any other sensor; 0 if there is none. */
  readonly second: number;
  /** Number of samples that have contradicted the newest time, up to {@link ENOUGH}. */
  readonly doubts: number;
}

/** Number of contradicting samples after which the newest time does not count any more. */
const ENOUGH = 2;

type Bounds = Pick<Options, 'lateness' | 'aheadAtMost'>;

/** Tracks the time that a partition has reached. Times are in microseconds since 1970 UTC. */
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

  /** The time that the partition has reached. */
  get reached(): number {
    return this.doubts >= ENOUGH ? this.second : this.newest;
  }

  /**
   * Processes the next sample. It is `late` if it is too old for the time that the partition had reached before, and
   * `ahead` if its time is contradicted by other sensors.
   */
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
