import { Random } from '../lib/random.ts';
import type { Sighting } from './street.ts';

export interface PostOptions {
  readonly seed: number;
  /** Maximum delay of a sighting in seconds; each one has its own delay. */
  readonly shuffle: number;
  /** The share of sightings that are sent twice. */
  readonly duplicates: number;
  /** The share of sightings that are sent later than the shuffle allows, by up to `lateBy` seconds. */
  readonly late: number;
  readonly lateBy: number;
}

/** The width of the time slots by which delayed sightings are stored. */
const SLOT = 50_000;

/** The transport from the sensors to the topic: some sightings take longer than others, or arrive twice. */
export class Post {
  readonly #options: PostOptions;
  readonly #random: Random;
  readonly #slots = new Map<number, { due: number; sighting: Sighting }[]>();
  #slot: number | null = null;

  constructor(options: PostOptions) {
    this.#options = options;
    this.#random = new Random(options.seed + 1);
  }

  /** Accepts the sightings made until `until` (µs), and returns those that arrive by then, in that order. */
  *pass(sightings: Iterable<Sighting>, until: number): IterableIterator<Sighting> {
    const { shuffle, duplicates, late } = this.#options;
    if (shuffle === 0 && duplicates === 0 && late === 0) {
      yield* sightings;
      return;
    }
    for (const sighting of sightings) {
      this.#hold(sighting);
      if (this.#random.chance(duplicates)) this.#hold(sighting);
    }
    if (this.#slot === null) return;
    for (; (this.#slot + 1) * SLOT <= until; this.#slot++) yield* this.#release(this.#slot);
  }

  /** Returns the sightings still in flight. */
  *rest(): IterableIterator<Sighting> {
    for (const slot of [...this.#slots.keys()].toSorted((a, b) => a - b)) {
      yield* this.#release(slot);
    }
  }

  #hold(sighting: Sighting): void {
    const { shuffle, late, lateBy } = this.#options;
    const seconds = this.#random.chance(late)
      ? shuffle + this.#random.next() * lateBy
      : this.#random.next() * shuffle;
    const due = sighting.at + Math.floor(seconds * 1e6);
    const slot = Math.floor(due / SLOT);
    this.#slot ??= Math.floor(sighting.at / SLOT);
    const held = this.#slots.get(slot);
    if (held === undefined) this.#slots.set(slot, [{ due, sighting }]);
    else held.push({ due, sighting });
  }

  *#release(slot: number): IterableIterator<Sighting> {
    const held = this.#slots.get(slot) ?? [];
    this.#slots.delete(slot);
    held.sort((a, b) => a.due - b.due);
    for (const { sighting } of held) yield sighting;
  }
}
