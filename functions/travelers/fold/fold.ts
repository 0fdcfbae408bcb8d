/**
 * Defines the numbers, and how they are computed from samples.
 *
 * A **traveler** is identified by its sensor, id and type. Two samples of a traveler at the same microsecond count
 * once; if their positions differ, the one with the lesser x counts, then the one with the lesser y. A **visit** is
 * a maximal sequence of a traveler's samples in which no pause is longer than the visit timeout; the traveler is in
 * view from the first of these samples to the last. A **segment** joins two consecutive samples of a visit; its
 * speed is its length divided by its duration.
 *
 * A **window** is half-open, [start, end). The travelers present in it are those that are in view at its start and
 * came before it, and those whose visit begins in it. A segment that crosses the border of a window is divided in
 * proportion to time. The average speed is the total path divided by the total time of the parts in the window; the
 * minimum and maximum are those of whole segments that overlap the window; percentiles are of the segments' speeds,
 * weighted by the time that they overlap the window, by nearest rank.
 *
 * A sample is **late** if it is older than the time that its partition has reached (ingest/heard.ts) by more than the
 * lateness bound, or older than the watermark, which all partitions that were not idle had passed; only a partition
 * that was idle can deliver such a sample. Late samples are counted as such, and are in no other number.
 *
 * Samples that are not late are staged on arrival, and folded when every partition that is not idle has passed their
 * time: each once and in the order of time, regardless of the order, chunks and processes in which they arrived.
 * Sums are of integers (tally.ts), so it does not matter either at which times the fold paused: the stored numbers
 * are a function of the set of samples, to the last bit.
 *
 * A window is **final** once the fold has passed its end by the visit timeout. Until then, the next sample of a
 * traveler that was last seen in the window may show that its visit continued.
 */
import { Samples } from './samples.ts';
import { Tallies } from './tallies.ts';

/** The result of a fold. */
export interface Folded {
  /** The tallies to add to each second. */
  readonly tallies: Tallies;
  /** The last samples of the travelers in view at the end. */
  readonly inView: Samples;
}

const SECOND = 1_000_000;

/**
 * Folds samples before `to`. `inView` contains the last folded samples of the travelers in view; all `samples` are
 * newer. Times are in microseconds.
 */
export function fold(inView: Samples, samples: Samples, to: number, timeout: number): Folded {
  const all = inView.count === 0 ? samples : Samples.concat([inView, samples]);
  const folding = new Folding(all, inView.count, to, timeout);
  return folding.run();
}

class Folding {
  readonly #all: Samples;
  /** Number of samples, at the beginning, that are folded already. */
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
    const indexes: number[] = [];
    for (const head of first) {
      indexes.length = 0;
      for (let index = head; index >= 0; index = next[index]!) indexes.push(index);
      sortByTime(indexes, this.#all);
      this.#follow(indexes);
    }
    return { tallies: this.#tallies, inView: this.#all.pick(this.#staying) };
  }

  /** Folds the samples of one traveler, which are sorted by time. */
  #follow(indexes: readonly number[]): void {
    const { at, sensor, type } = this.#all;
    const tallies = this.#tallies.of(sensor[indexes[0]!]!, type[indexes[0]!]!);
    let last = -1;
    for (const index of indexes) {
      const now = at[index]!;
      if (index >= this.#known) {
        if (last >= 0 && at[last] === now) continue; // a duplicate
        const tally = tallies.at(Math.floor(now / SECOND));
        tally.samples += 1;
        if (last >= 0 && now - at[last]! <= this.#timeout) {
          this.#move(last, index, tallies);
        } else {
          if (last >= 0) tallies.at(Math.floor(at[last]! / SECOND)).left += 1;
          tally.entered += 1;
        }
      }
      last = index;
    }
    if (this.#to - at[last]! <= this.#timeout) this.#staying.push(last);
    else tallies.at(Math.floor(at[last]! / SECOND)).left += 1;
  }

  /** Adds the segment between two samples to the tallies of the seconds that it overlaps. */
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
      // The traveler is in view at the start of the next second, and came before it.
      if (until === (second + 1) * SECOND) tallies.at(second + 1).atStart += 1;
    }
  }
}

/** Sorts by insertion, which is the fastest for a few samples that are almost in order. */
function sortByTime(indexes: number[], { at, x, y }: Samples): void {
  for (let i = 1; i < indexes.length; i++) {
    const index = indexes[i]!;
    let to = i;
    for (; to > 0; to--) {
      const before = indexes[to - 1]!;
      const order = at[before]! - at[index]! || x[before]! - x[index]! || y[before]! - y[index]!;
      if (order <= 0) break;
      indexes[to] = before;
    }
    indexes[to] = index;
  }
}

/** Returns the samples of each traveler as a linked list: its head, and the successor of each index (-1: none). */
function chainByTraveler({ count, traveler, sensor, type }: Samples) {
  const next = new Int32Array(count).fill(-1);
  const first: number[] = [];
  // A hash table with open addressing, at most half full. A slot contains the number of a list plus one.
  const mask = 2 ** Math.ceil(Math.log2(2 * count + 1)) - 1;
  const slots = new Int32Array(mask + 1);
  for (let index = 0; index < count; index++) {
    const word = 4 * index;
    let hash =
      Math.imul(traveler[word]! ^ traveler[word + 3]!, 0x9e3779b1) ^
      Math.imul(traveler[word + 1]! ^ traveler[word + 2]! ^ sensor[index]!, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const list = slots[slot]! - 1;
      if (list < 0) {
        slots[slot] = first.push(index);
        break;
      }
      const head = first[list]!;
      if (
        traveler[word] === traveler[4 * head] &&
        traveler[word + 1] === traveler[4 * head + 1] &&
        traveler[word + 2] === traveler[4 * head + 2] &&
        traveler[word + 3] === traveler[4 * head + 3] &&
        sensor[index] === sensor[head] &&
        type[index] === type[head]
      ) {
        next[index] = head;
        first[list] = index;
        break;
      }
    }
  }
  return { first, next };
}
