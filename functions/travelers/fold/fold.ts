/**
 * How samples become numbers.
 *
 * A **traveler** is who a sensor saw under one id as one type. Two samples of a traveler at the same
 * microsecond count once; if they say different positions, the lesser x counts, then the lesser y.
 * A **visit** is a run of a traveler's samples between which no pause is longer than the visit time-out;
 * the traveler is in view from its first sample to its last. A **segment** joins two consecutive samples
 * of a visit; its speed is its length by its time.
 *
 * A **window** is half-open, [start, end). Present in it are travelers in view when it begins, who came
 * before, and visits that begin in it. A segment that crosses its border belongs to it in proportion to
 * time. Average speed is path by time over those parts; minimum and maximum are those of whole segments
 * that share time with it; percentiles are of segments' speeds, weighted by the time they share, by
 * nearest rank.
 *
 * A sample is **late** if it is older than the newest one before it in its partition by more than the
 * lateness bound, or older than a time that all partitions had passed (only a partition that had been
 * idle can bring one). Late samples are counted, and are in no other number.
 *
 * Samples that are not late are staged as they come, and folded when every partition that is not idle
 * has passed their time: each once, in the order of time, whatever order, batches and processes they
 * came in. Sums are of integers (tally.ts), so it does not matter either where the fold stopped in
 * between: what is stored is a function of the set of samples, to the last bit.
 *
 * A window is **final** once the fold has passed its end by the visit time-out: until then the next
 * sample of a traveler who was last seen in it may show that the visit went on.
 */
import { Samples } from './samples.ts';
import { Tallies } from './tallies.ts';

export interface Folded {
  /** What is added to each second. */
  readonly tallies: Tallies;
  /** The last samples of the travelers in view at the end. */
  readonly inView: Samples;
}

const SECOND = 1_000_000;

/**
 * Folds samples before `to`, all of which are newer than what was folded into `inView` (the last
 * samples of travelers in view). Times in microseconds.
 */
export function fold(inView: Samples, samples: Samples, to: number, timeout: number): Folded {
  const all = inView.count === 0 ? samples : Samples.concat([inView, samples]);
  const folding = new Folding(all, inView.count, to, timeout);
  return folding.run();
}

class Folding {
  readonly #all: Samples;
  /** So many of the samples are folded already. */
  readonly #known: number;
  readonly #to: number;
  readonly #timeout: number;
  readonly #tallies = new Tallies();
  readonly #staying: number[] = [];

  constructor(all: Samples, known: number, to: number, timeout: number) {
    this.#all = all;
    this.#known = known;
    this.#to = to;
    this.#timeout = timeout;
  }

  run(): Folded {
    const { first, next } = chainByTraveler(this.#all);
    const places: number[] = [];
    for (const head of first) {
      places.length = 0;
      for (let place = head; place >= 0; place = next[place]!) places.push(place);
      sortByTime(places, this.#all);
      this.#follow(places);
    }
    return { tallies: this.#tallies, inView: this.#all.pick(this.#staying) };
  }

  /** One traveler, whose samples are sorted. */
  #follow(places: readonly number[]): void {
    const { at, sensor, type } = this.#all;
    const tallies = this.#tallies.of(sensor[places[0]!]!, type[places[0]!]!);
    let last = -1;
    for (const place of places) {
      const now = at[place]!;
      if (place >= this.#known) {
        if (last >= 0 && at[last] === now) continue; // a duplicate
        const tally = tallies.at(Math.floor(now / SECOND));
        tally.samples += 1;
        if (last >= 0 && now - at[last]! <= this.#timeout) {
          this.#move(last, place, tallies);
        } else {
          if (last >= 0) tallies.at(Math.floor(at[last]! / SECOND)).left += 1;
          tally.entered += 1;
        }
      }
      last = place;
    }
    if (this.#to - at[last]! <= this.#timeout) this.#staying.push(last);
    else tallies.at(Math.floor(at[last]! / SECOND)).left += 1;
  }

  #move(from: number, to: number, tallies: ReturnType<Tallies['of']>): void {
    const { at, x, y } = this.#all;
    const begin = at[from]!;
    const end = at[to]!;
    const dx = x[to]! - x[from]!;
    const dy = y[to]! - y[from]!;
    const path = Math.sqrt(dx * dx + dy * dy);
    const micros = end - begin;
    const speed = path / (micros / SECOND);
    let second = Math.floor(begin / SECOND);
    for (let since = begin; since < end; second++) {
      const until = Math.min(end, (second + 1) * SECOND);
      const tally = tallies.at(second);
      const part = until - since;
      tally.addMove(part === micros ? path : path * (part / micros), part, speed);
      since = until;
      // In view when the next second begins, and came before.
      if (until === (second + 1) * SECOND) tallies.at(second + 1).atStart += 1;
    }
  }
}

/** Few and almost in order: insertion is the fastest. */
function sortByTime(places: number[], { at, x, y }: Samples): void {
  for (let i = 1; i < places.length; i++) {
    const place = places[i]!;
    let to = i;
    for (; to > 0; to--) {
      const before = places[to - 1]!;
      const order = at[before]! - at[place]! || x[before]! - x[place]! || y[before]! - y[place]!;
      if (order <= 0) break;
      places[to] = before;
    }
    places[to] = place;
  }
}

/** The samples of each traveler as a list: its head, and what follows each place (-1: nothing). */
function chainByTraveler({ count, traveler, sensor, type }: Samples) {
  const next = new Int32Array(count).fill(-1);
  const first: number[] = [];
  // Open addressing, at most half full; slots hold the number of a list, plus one.
  const mask = 2 ** Math.ceil(Math.log2(2 * count + 1)) - 1;
  const slots = new Int32Array(mask + 1);
  for (let place = 0; place < count; place++) {
    const word = 4 * place;
    let hash =
      Math.imul(traveler[word]! ^ traveler[word + 3]!, 0x9e3779b1) ^
      Math.imul(traveler[word + 1]! ^ traveler[word + 2]! ^ sensor[place]!, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const list = slots[slot]! - 1;
      if (list < 0) {
        slots[slot] = first.push(place);
        break;
      }
      const head = first[list]!;
      if (
        traveler[word] === traveler[4 * head] &&
        traveler[word + 1] === traveler[4 * head + 1] &&
        traveler[word + 2] === traveler[4 * head + 2] &&
        traveler[word + 3] === traveler[4 * head + 3] &&
        sensor[place] === sensor[head] &&
        type[place] === type[head]
      ) {
        next[place] = head;
        first[list] = place;
        break;
      }
    }
  }
  return { first, next };
}
