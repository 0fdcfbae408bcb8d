/** What begins with the id of its schema, as serializers for a registry write it. */
export interface Frame {
  readonly id: number;
  readonly data: Uint8Array;
}

/** Bytes before the data: a zero, and the id in four bytes. */
const HEADER = 5;
/** First characters of JSON: a zero byte before one is UTF-16. */
const JSON_STARTS = new Set<unknown>(Buffer.from(' \t\n\r"[{'));

/**
 * Whether the bytes begin as serializers for a schema registry write them (Confluent's wire format): a zero byte
 * and the schema's id. UTF-16 may also begin with a zero byte.
 */
export function isFramed(bytes: Uint8Array): boolean {
  const [first, second, third] = bytes;
  if (first !== 0 || bytes.length <= HEADER) return false;
  return !(JSON_STARTS.has(second) && third === 0);
}

/**
 * Reads the id and the data. Null if the id has eight bytes, as Apicurio's serializers before 3.0 write it by
 * default: then the first four are zero, which is no id.
 */
export function readFrame(bytes: Uint8Array): Frame | null {
  const id = Buffer.from(bytes.buffer, bytes.byteOffset, HEADER).readUInt32BE(1);
  return id === 0 ? null : { id, data: bytes.subarray(HEADER) };
}
