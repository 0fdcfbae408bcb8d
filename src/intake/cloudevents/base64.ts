/**
 * Decodes base64 (RFC 4648, section 4); returns null if the text is not base64. `Buffer.from` skips invalid
 * characters and returns no bytes for `***`, so an event with a value would look like a tombstone.
 */
export function fromBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}
