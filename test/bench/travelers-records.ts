import { simulate } from '../../dev/sensors/simulation.ts';

/** Simulator options: the defaults with the shortest interval, 58,000 records per simulated second. */
const RATE = 58_000;
const NEVER = new AbortController().signal;

/** Returns `count` records of the topic `movements`, up to two seconds out of order, which end now. */
export class Records {
  /** The records in one buffer: a million buffers would take longer to garbage-collect than to fold. */
  readonly #bytes: Buffer;
  readonly #ends: Float64Array;

  private constructor(bytes: Buffer, ends: Float64Array) {
    this.#bytes = bytes;
    this.#ends = ends;
  }

  static async make(count: number): Promise<Records> {
    // it takes half a minute until the sensors have all travelers in view
    const seconds = Math.ceil(count / RATE) + 30;
    const from = (Date.now() - seconds * 1000) * 1000;
    const street = { sensors: 100, arrivals: 10, interval: [0.1, 0.1] as const, seed: 1, from };
    const post = { shuffle: 2, duplicates: 0, late: 0, lateBy: 1 };
    const bytes = Buffer.allocUnsafe(count * 200);
    const ends = new Float64Array(count);
    let made = 0;
    let end = 0;
    for await (const batch of simulate({ ...street, ...post, seconds, speed: Infinity }, NEVER)) {
      for (const { value } of batch) {
        if (made === count) break;
        end += bytes.write(value, end, 'latin1');
        ends[made++] = end;
      }
      if (made === count) break;
    }
    if (made < count) throw new Error(`the street made ${made} records, not ${count}`);
    return new Records(bytes, ends);
  }

  at(n: number): Buffer {
    return this.#bytes.subarray(n === 0 ? 0 : this.#ends[n - 1], this.#ends[n]);
  }

  get count(): number {
    return this.#ends.length;
  }
}
