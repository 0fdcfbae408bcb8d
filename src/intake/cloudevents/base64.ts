/**
 * Bytes of a text in base64 (RFC 4648, section 4), or null where it is none. `Buffer.from` skips what it
 * does not know, and makes no bytes at all of `***`: an event with a value would be taken for a tombstone.
 */
export function fromBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}
