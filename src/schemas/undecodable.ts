/** Bytes that can't be decoded, or a schema that can't be read; the message is human-readable. */
export class Undecodable extends Error {
  override readonly name = 'Undecodable';
}
