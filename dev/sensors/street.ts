import { Random } from '../lib/random.ts';

/** Average speed in feet per second; all kinds are equally frequent. */
const SPEED = { pedestrian: 5, bicyclist: 20, vehicle: 40 } as const;
const TYPES = ['pedestrian', 'bicyclist', 'vehicle'] as const;
/** The width and height of a sensor's field, in feet. */
const FIELD = 100;

export interface StreetOptions {
  readonly sensors: number;
  /** Travelers per second at each sensor. */
  readonly arrivals: number;
  /** Range of the random time between two samples of a traveler, in seconds. */
  readonly interval: readonly [number, number];
  readonly seed: number;
  /** The earliest arrival, in microseconds since 1970 UTC. */
  readonly from: number;
}

/** A sensor's sample of a traveler at one moment. */
export interface Sighting {
  readonly traveler: Traveler;
  /** Microseconds since 1970 UTC. */
  readonly at: number;
  /** Feet. */
  readonly x: number;
  readonly y: number;
}

export interface Traveler {
  readonly sensor: number;
  /** UUID. */
  readonly id: string;
  readonly type: (typeof TYPES)[number];
}

/** A traveler in a sensor's field, with its next position. */
interface Walker extends Traveler {
  at: number;
  x: number;
  y: number;
}

/** The width of the time slots by which walkers are stored, according to when they are next seen. */
const SLOT = 10_000;

/**
 * Simulates travelers who enter at the left edge of a sensor's field, at any height, and move up and to
 * the right until they leave it. In a time dt they move d = 2·v·dt·U, with U from 0 to 1, so that the speed
 * of a move is between 0 and 2·v; dx = d·U of it to the right, and the rest of d up. The move that leaves
 * the field is not seen. With the defaults about 58 travelers are in view of each sensor.
 */
export class Street {
  readonly #options: StreetOptions;
  readonly #random: Random;
  readonly #slots: Walker[][];
  /** The number of the next slot. */
  #slot: number;
  #nextArrival: number;

  constructor(options: StreetOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#slots = Array.from(
      { length: Math.ceil((options.interval[1] * 1e6) / SLOT) + 2 },
      () => [],
    );
    this.#slot = Math.floor(options.from / SLOT);
    this.#nextArrival = options.from;
    this.#arriveLater();
  }

  /** Returns the sightings since the last call until `until` (µs), ordered by time slot. */
  *sightings(until: number): IterableIterator<Sighting> {
    for (; (this.#slot + 1) * SLOT <= until; this.#slot++) {
      this.#arrive((this.#slot + 1) * SLOT);
      const place = this.#slot % this.#slots.length;
      const seen = this.#slots[place]!;
      this.#slots[place] = [];
      seen.sort((a, b) => a.at - b.at);
      for (const walker of seen) {
        yield { traveler: walker, at: walker.at, x: walker.x, y: walker.y };
        this.#move(walker);
      }
    }
  }

  #arrive(until: number): void {
    while (this.#nextArrival < until) {
      const random = this.#random;
      this.#await({
        sensor: random.between(0, this.#options.sensors - 1),
        id: this.#uuid(),
        type: TYPES[random.between(0, 2)]!,
        at: this.#nextArrival,
        x: 0,
        y: random.next() * FIELD,
      });
      this.#arriveLater();
    }
  }

  #arriveLater(): void {
    const { sensors, arrivals } = this.#options;
    const seconds = -Math.log(1 - this.#random.next()) / (sensors * arrivals);
    this.#nextArrival += Math.ceil(seconds * 1e6);
  }

  #move(walker: Walker): void {
    const [least, most] = this.#options.interval;
    const random = this.#random;
    const seconds = least + random.next() * (most - least);
    const distance = 2 * SPEED[walker.type] * seconds * random.next();
    const right = distance * random.next();
    walker.at += Math.ceil(seconds * 1e6);
    walker.x += right;
    walker.y += Math.sqrt(distance * distance - right * right);
    if (walker.x <= FIELD && walker.y <= FIELD) this.#await(walker);
  }

  #await(walker: Walker): void {
    this.#slots[Math.floor(walker.at / SLOT) % this.#slots.length]!.push(walker);
  }

  /** Returns a UUID of version 4 (RFC 9562). */
  #uuid(): string {
    const hex = (digits: number) =>
      Math.floor(this.#random.next() * 16 ** digits)
        .toString(16)
        .padStart(digits, '0');
    const variant = (8 + this.#random.between(0, 3)).toString(16);
    return `${hex(8)}-${hex(4)}-4${hex(3)}-${variant}${hex(3)}-${hex(6)}${hex(6)}`;
  }
}
