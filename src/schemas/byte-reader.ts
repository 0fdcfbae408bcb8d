import { Undecodable } from './undecodable.ts';

/** A byte order mark inside a value is part of the value. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Maximum number of elements of all arrays and maps, as in JSON: two million keep the process busy for 0.2 s. */
const MAX_ELEMENTS = 2_000_000;

/** What is left of the elements of arrays and maps, and of the fields of messages. */
interface Budget {
  elements: number;
  fields: number;
}

/** ByteReader reads values of Avro and Protobuf, and never reads beyond the end of the bytes. */
export class ByteReader {
  readonly #bytes: Buffer;
  /** Shared with the readers of parts of these bytes. */
  readonly #budget: Budget;
  #at = 0;

  constructor(bytes: Uint8Array, budget?: Budget) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#budget = budget ?? {
      elements: Math.min(bytes.length, MAX_ELEMENTS),
      fields: MAX_ELEMENTS,
    };
  }

  /** Returns a reader of the next bytes. */
  part(length: number): ByteReader {
    return new ByteReader(this.take(length), this.#budget);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  /** Throws {@link Undecodable} unless everything has been read: the bytes have another schema. */
  requireEnd(): void {
    if (this.remaining > 0) throw new Undecodable(`${this.remaining} bytes are left at the end`);
  }

  byte(): number {
    return this.take(1)[0]!;
  }

  take(length: number): Buffer {
    if (length > this.remaining) {
      throw new Undecodable(`it ends within a value, ${length - this.remaining} bytes too early`);
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Reads a length and that many bytes. */
  text(length: number): string {
    try {
      return utf8.decode(this.take(length));
    } catch (error) {
      if (error instanceof Undecodable) throw error;
      throw new Undecodable('a text is not in UTF-8', { cause: error });
    }
  }

  /** Reads a number of at most 64 bits in base 128, lowest digit first. */
  varint(): bigint {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80 && value < 1n << 64n) return value;
    }
    throw new Undecodable('a number has more than 64 bits');
  }

  /** Reads a signed number whose lowest bit is its sign. */
  zigzag(): bigint {
    const value = this.varint();
    return (value >> 1n) ^ -(value & 1n);
  }

  /** Reads a size, which is never beyond what a buffer holds. */
  size(value: bigint): number {
    if (value < 0n || value > BigInt(this.#bytes.length)) {
      throw new Undecodable(`a size of ${value} is beyond its ${this.#bytes.length} bytes`);
    }
    return Number(value);
  }

  /**
   * Reserves elements of an array or map before they are read. Each has a byte at least, so no more are believed
   * than there are bytes: a few broken bytes would otherwise announce billions.
   */
  reserve(count: number): void {
    this.#budget.elements -= count;
    if (this.#budget.elements < 0) {
      throw new Undecodable(
        `it announces more elements than it has bytes, or than ${MAX_ELEMENTS}`,
      );
    }
  }

  /** Reserves fields of a message, which exist even if they have no bytes. */
  reserveFields(count: number): void {
    this.#budget.fields -= count;
    if (this.#budget.fields < 0) throw new Undecodable(`it has more than ${MAX_ELEMENTS} fields`);
  }
}
