/**
 * How much time was spent at which speed. Bins are 1/8 ft/s wide up to 8 ft/s; above, each power of
 * two has 32 of them. So the middle of a bin is off by 1/16 ft/s or by 1/64 of the speed at most,
 * whichever is more; and because bins and times are integers, adding histograms is exact, in any order.
 */
export class Histogram {
  /** Microseconds by bin. */
  #bins = new Float64Array(BINS);

  add(bin: number, micros: number): void {
    if (bin >= this.#bins.length) this.#grow(bin);
    this.#bins[bin]! += micros;
  }

  merge(other: Histogram): void {
    if (other.#bins.length > this.#bins.length) this.#grow(other.#bins.length - 1);
    for (let bin = 0; bin < other.#bins.length; bin++) this.#bins[bin]! += other.#bins[bin]!;
  }

  /**
   * For each of these percents, which rise, the middle of the bin of the lowest speed at which, or
   * below which, so much of the time was spent (nearest rank); none if it is empty.
   */
  percentiles(percents: readonly number[]): number[] {
    let total = 0;
    for (const micros of this.#bins) total += micros;
    if (total === 0) return [];
    let bin = 0;
    let below = this.#bins[0]!;
    return percents.map((percent) => {
      while (below * 100 < total * percent) below += this.#bins[++bin]!;
      return middleOf(bin);
    });
  }

  /** Pairs of varints: bins skipped since the last one, microseconds. */
  pack(): Buffer {
    let end = 0;
    let last = -1;
    for (let bin = 0; bin < this.#bins.length; bin++) {
      const micros = this.#bins[bin]!;
      if (micros === 0) continue;
      if (end + 16 > scratch.length) scratch = Buffer.concat([scratch], scratch.length * 2);
      end = writeVarint(bin - last - 1, end);
      end = writeVarint(micros, end);
      last = bin;
    }
    return Buffer.from(scratch.subarray(0, end));
  }

  /** Adds what another one packed. */
  addPacked(packed: Buffer): void {
    let bin = -1;
    cursor = 0;
    while (cursor < packed.length) {
      bin += readVarint(packed) + 1;
      this.add(bin, readVarint(packed));
    }
  }

  #grow(bin: number): void {
    const bins = new Float64Array(Math.max(bin + 1, this.#bins.length + BINS_OF_OCTAVE));
    bins.set(this.#bins);
    this.#bins = bins;
  }
}

const BINS_OF_OCTAVE = 32;
/** Enough for 128 ft/s. */
const BINS = 6 * BINS_OF_OCTAVE;

const bits = new Float64Array(1);
const words = new Uint32Array(bits.buffer);
/** The upper word of 4.0 without all but five bits of its mantissa is bin 32. */
const FIRST = (1025 << 5) - BINS_OF_OCTAVE;

/** Bin of a speed in feet per second. */
export function binOf(speed: number): number {
  if (speed < 4) return Math.floor(speed * 8);
  bits[0] = speed;
  return (words[1]! >>> 15) - FIRST;
}

function middleOf(bin: number): number {
  if (bin < BINS_OF_OCTAVE) return (bin + 0.5) / 8;
  const octave = (bin >>> 5) + 1;
  return 2 ** octave * (1 + ((bin % BINS_OF_OCTAVE) + 0.5) / BINS_OF_OCTAVE);
}

let scratch = Buffer.alloc(4096);
let cursor = 0;

function writeVarint(value: number, at: number): number {
  let rest = value;
  let end = at;
  while (rest >= 128) {
    scratch[end++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  scratch[end++] = rest;
  return end;
}

function readVarint(packed: Buffer): number {
  let value = 0;
  for (let worth = 1; ; worth *= 128) {
    const byte = packed[cursor++]!;
    value += (byte % 128) * worth;
    if (byte < 128) return value;
  }
}
