import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib';

type Decode = (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>;

/** Content codings (RFC 9110, 8.4.1; RFC 8878). */
const CODINGS: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ['gzip', promisify(gunzip)],
  ['x-gzip', promisify(gunzip)],
  ['deflate', promisify(inflate)],
  ['br', promisify(brotliDecompress)],
  ['zstd', promisify(zstdDecompress)],
]);
/** A header has room for thousands of codings, which would keep this process busy for minutes. */
const MAX_CODINGS = 4;

/** A body that does not match its Content-Encoding, or an unknown encoding. */
export class NotDecoded extends Error {
  override readonly name = 'NotDecoded';
}

/**
 * Decodes a body's `Content-Encoding` to at most `limit` bytes, because a few KiB may decode to gigabytes. Throws
 * {@link NotDecoded}.
 */
export async function decoded(body: Buffer, encoding: string, limit: number): Promise<Buffer> {
  let bytes = body;
  const codings = encoding
    .toLowerCase()
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '' && each !== 'identity');
  if (codings.length > MAX_CODINGS) {
    throw new NotDecoded(
      `Content-Encoding names ${codings.length} codings; at most ${MAX_CODINGS} are supported`,
    );
  }
  // In the reverse of the order in which they were applied.
  for (const name of codings.toReversed()) {
    const decode = CODINGS.get(name);
    if (decode === undefined) {
      const known = [...CODINGS.keys(), 'identity'].join(', ');
      throw new NotDecoded(`Content-Encoding ${JSON.stringify(name)} is not one of ${known}`);
    }
    try {
      bytes = await decode(bytes, { maxOutputLength: limit });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new NotDecoded(
        code === 'ERR_BUFFER_TOO_LARGE'
          ? `the body has more than ${limit} bytes without its Content-Encoding ${name}`
          : `the body is not in its Content-Encoding ${name}`,
        { cause: error },
      );
    }
  }
  return bytes;
}
