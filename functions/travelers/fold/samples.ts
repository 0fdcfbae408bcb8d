import { TYPES, type Sample } from '../ingest/sample.ts';

/** Bytes per sample: time, x and y (8 each), traveler (16), sensor (4), type (1). */
const WIDTH = 45;

/**
 * Samples in columns. Their packed form is the concatenation of these columns (little-endian, like every platform of
 * Node), so unpacking costs only a copy, and one database row can contain thousands of samples.
 */
export class Samples {
  readonly count: number;
  /** Microseconds since 1970 UTC. */
  readonly at: Float64Array;
  /** Positions in feet. */
  readonly x: Float64Array;
  readonly y: Float64Array;
  /** The UUID of each traveler, as four words. */
  readonly traveler: Uint32Array;
  readonly sensor: Int32Array;
  /** Indexes in {@link TYPES}. */
  readonly type: Uint8Array;

  private constructor(count: number, buffer: ArrayBuffer) {
    this.count = count;
    this.at = new Float64Array(buffer, 0, count);
    this.x = new Float64Array(buffer, 8 * count, count);
    this.y = new Float64Array(buffer, 16 * count, count);
    this.traveler = new Uint32Array(buffer, 24 * count, 4 * count);
    this.sensor = new Int32Array(buffer, 40 * count, count);
    this.type = new Uint8Array(buffer, 44 * count, count);
  }

  static of(samples: readonly Sample[]): Samples {
    const made = Samples.#empty(samples.length);
    for (let i = 0; i < samples.length; i++) {
      const { at, x, y, traveler, sensor, type } = samples[i]!;
      made.at[i] = at;
      made.x[i] = x;
      made.y[i] = y;
      writeUuid(traveler, made.traveler, 4 * i);
      made.sensor[i] = sensor;
      made.type[i] = TYPES.indexOf(type);
    }
    return made;
  }

  /** Concatenates samples. */
  static concat(parts: readonly Samples[]): Samples {
    const made = Samples.#empty(parts.reduce((sum, { count }) => sum + count, 0));
    let end = 0;
    for (const { at, x, y, traveler, sensor, type, count } of parts) {
      made.at.set(at, end);
      made.x.set(x, end);
      made.y.set(y, end);
      made.traveler.set(traveler, 4 * end);
      made.sensor.set(sensor, end);
      made.type.set(type, end);
      end += count;
    }
    return made;
  }

  /** Reverses {@link pack}; throws if the length is not a multiple of that of a sample. */
  static unpack(packed: Buffer): Samples {
    if (packed.length % WIDTH !== 0) {
      throw new Error(`packed samples have an invalid length: ${packed.length} bytes`);
    }
    const made = Samples.#empty(packed.length / WIDTH);
    new Uint8Array(made.at.buffer).set(packed);
    return made;
  }

  static #empty(count: number): Samples {
    return new Samples(count, new ArrayBuffer(WIDTH * count));
  }

  pack(): Buffer {
    return Buffer.from(this.at.buffer);
  }

  /** Returns the samples at these indexes, in this order. */
  pick(indexes: readonly number[]): Samples {
    const made = Samples.#empty(indexes.length);
    for (let i = 0; i < indexes.length; i++) {
      const index = indexes[i]!;
      made.at[i] = this.at[index]!;
      made.x[i] = this.x[index]!;
      made.y[i] = this.y[index]!;
      for (let word = 0; word < 4; word++) {
        made.traveler[4 * i + word] = this.traveler[4 * index + word]!;
      }
      made.sensor[i] = this.sensor[index]!;
      made.type[i] = this.type[index]!;
    }
    return made;
  }

  /** Returns the samples in [from, to) of these sensors; of all sensors if null. */
  between(from: number, to: number, sensors: ReadonlySet<number> | null = null): Samples {
    const indexes: number[] = [];
    for (let i = 0; i < this.count; i++) {
      const at = this.at[i]!;
      if (at >= from && at < to && (sensors === null || sensors.has(this.sensor[i]!))) {
        indexes.push(i);
      }
    }
    return indexes.length === this.count ? this : this.pick(indexes);
  }
}

function writeUuid(uuid: string, into: Uint32Array, at: number): void {
  // The words are: 8 digits; 4 and 4; 4 and 4 of the last 12; 8. Dashes are skipped.
  into[at] = hex(uuid, 0, 8);
  into[at + 1] = hex(uuid, 9, 4) * 65_536 + hex(uuid, 14, 4);
  into[at + 2] = hex(uuid, 19, 4) * 65_536 + hex(uuid, 24, 4);
  into[at + 3] = hex(uuid, 28, 8);
}

function hex(text: string, from: number, digits: number): number {
  let value = 0;
  for (let i = from; i < from + digits; i++) {
    const code = text.charCodeAt(i);
    // 0-9, A-F, a-f
    value = value * 16 + (code < 58 ? code - 48 : (code & 15) + 9);
  }
  return value;
}
