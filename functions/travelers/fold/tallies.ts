import { Tally } from './tally.ts';

/** Stands for the sum of all sensors. */
export const ALL_SENSORS = -1;

/** What travelers did, by sensor, type and second. */
export class Tallies {
  readonly #series = new Map<number, TypeSeries>();

  of(sensor: number, type: number): SecondTallies {
    const key = sensor * 4 + type;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = new TypeSeries(sensor, type);
      this.#series.set(key, series);
    }
    return series;
  }

  /** Sensor, place of the type in TYPES, seconds since 1970 UTC, and the tally. */
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

export interface TallyEntry {
  readonly sensor: number;
  readonly type: number;
  readonly second: number;
  readonly tally: Tally;
}

export interface SecondTallies {
  at(second: number): Tally;
}

class TypeSeries implements SecondTallies {
  readonly sensor: number;
  readonly type: number;
  readonly seconds = new Map<number, Tally>();
  /** A traveler's samples are mostly in one second. */
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
