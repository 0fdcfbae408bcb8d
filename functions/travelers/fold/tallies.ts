import { Tally } from './tally.ts';

/** The sensor id of the sum of all sensors. */
export const ALL_SENSORS = -1;

/** Tallies by sensor, type and second. */
export class Tallies {
  readonly #series = new Map<number, TypeSeries>();

  /** Returns the tallies of a sensor and type. */
  of(sensor: number, type: number): SecondTallies {
    const key = sensor * 4 + type;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = new TypeSeries(sensor, type);
      this.#series.set(key, series);
    }
    return series;
  }

  /** Iterates over all tallies. */
  *entries(): IterableIterator<TallyEntry> {
    for (const { sensor, type, seconds } of this.#series.values()) {
      for (const [second, tally] of seconds) yield { sensor, type, second, tally };
    }
  }

  /** Adds series for the sum of all sensors. */
  sumSensors(): void {
    const own = [...this.entries()];
    for (const { type, second, tally } of own) this.of(ALL_SENSORS, type).at(second).merge(tally);
  }
}

/** The tally of a sensor, type and second. */
export interface TallyEntry {
  readonly sensor: number;
  /** Index of the type in TYPES. */
  readonly type: number;
  /** Seconds since 1970 UTC. */
  readonly second: number;
  readonly tally: Tally;
}

/** The tallies of one sensor and type. */
export interface SecondTallies {
  /** Returns the tally of a second, which is created if necessary. */
  at(second: number): Tally;
}

class TypeSeries implements SecondTallies {
  readonly sensor: number;
  readonly type: number;
  readonly seconds = new Map<number, Tally>();
  /** The last result, because consecutive samples of a traveler are mostly in the same second. */
  #last = Number.NaN;
  #lastTally: Tally | undefined;

  constructor(sensor: number, type: number) {
    this.sensor = sensor;
    this.type = type;
  }

  at(second: number): Tally {
    if (second === this.#last) return this.#lastTally!;
    let tally = this.seconds.get(second);
    if (tally === undefined) {
      tally = new Tally();
      this.seconds.set(second, tally);
    }
    this.#last = second;
    this.#lastTally = tally;
    return tally;
  }
}
