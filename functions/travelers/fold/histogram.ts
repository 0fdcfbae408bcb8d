/**
 * A histogram of the time spent at each speed. Bins are 1/8 ft/s wide up to 8 ft/s; above, each power of two has 32
 * bins. The middle of a bin is therefore off by at most 1/16 ft/s or 1/64 of the speed, whichever is greater.
 * Because bins and times are integers, adding histograms is exact, in any order.
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
   * Returns percentiles by nearest rank: for each of these ascending percentages, the middle of the first bin up to
   * which at least this percentage of the time was spent. Returns an empty array if the histogram is empty.
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

  /** Serializes the histogram as pairs of varints: number of empty bins skipped, and microseconds. */
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

  /** Adds a histogram that {@link pack} serialized. */
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
/** Initial number of bins; enough for speeds up to 128 ft/s. */
const BINS = 6 * BINS_OF_OCTAVE;

const bits = new Float64Array(1);
const words = new Uint32Array(bits.buffer);
/** Offset of bins in the upper word of a double, reduced to the exponent and five bits of the mantissa: 4.0 is bin 32. */
const FIRST = (1025 << 5) - BINS_OF_OCTAVE;

/** Returns the bin of a speed in feet per second. */
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
