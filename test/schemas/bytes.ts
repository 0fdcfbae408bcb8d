/** Writes what serializers write, to test how it is read. */

/** What follows belongs to the schema with this id. */
export function framed(id: number, ...data: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(id, 1);
  return Buffer.concat([header, ...data]);
}

export function varint(value: bigint | number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** An int or long of Avro. */
export function long(value: bigint | number): Buffer {
  const big = BigInt(value);
  return varint((big << 1n) ^ (big >> 63n));
}

/** A string or bytes of Avro. */
export function text(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([long(bytes.length), bytes]);
}

/** A field of a Protobuf message whose value is a number, or bytes. */
export function field(id: number, value: bigint | number | string | Uint8Array): Buffer {
  if (typeof value === 'bigint' || typeof value === 'number') {
    return Buffer.concat([varint(id << 3), varint(value)]);
  }
  const bytes = Buffer.from(value as string);
  return Buffer.concat([varint((id << 3) | 2), varint(bytes.length), bytes]);
}
