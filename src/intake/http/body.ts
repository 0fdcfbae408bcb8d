import type { IncomingMessage, ServerResponse } from 'node:http';
import { HttpError } from '../http-error.ts';

/** First allocation for a body whose length is not announced; it doubles from there. */
const FIRST_BYTES = 16 * 1024;
const NOTHING = Buffer.alloc(0);

export interface BodyLimits {
  /** Largest body, in bytes. */
  readonly body: number;
  /** Bytes of all requests that are being received or wait for their answer. */
  readonly total: number;
}

/**
 * Bounds the memory of requests from their first byte until they are answered. Counting only what has
 * arrived in whole is no bound: with the database stalled, 60 bodies of 14 MiB took 1.58 GB at a limit
 * of 64 MiB.
 */
export class Bodies {
  readonly #limits: BodyLimits;
  #held = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** Bytes that are held now. */
  get held(): number {
    return this.#held;
  }

  /**
   * Reads the request's body and holds its bytes until `use` has settled. Throws {@link Refused}: 413
   * for a body that is too large, 503 where too much is held already. The rest of a refused body is
   * discarded as it comes; a connection that was closed instead would be reset while the sender is
   * still writing, and the answer would be lost.
   */
  async hold<T>(
    request: IncomingMessage,
    response: ServerResponse,
    use: (body: Buffer) => Promise<T>,
  ): Promise<T> {
    const reservation = new Reservation(this.#take, headerBytes(request));
    try {
      return await use(await readBody(request, response, this.#limits.body, reservation));
    } catch (error) {
      request.resume();
      throw error;
    } finally {
      this.#held -= reservation.bytes;
    }
  }

  /** A request larger than all that may be held is let in alone: it could never be taken otherwise. */
  readonly #take = (bytes: number, own: number): void => {
    const others = this.#held - own;
    if (others > 0 && this.#held + bytes > this.#limits.total) {
      throw new HttpError(
        503,
        `${this.#held} bytes of requests are being received or wait for the database (QUEUE_MIB)`,
        'overload',
      );
    }
    this.#held += bytes;
  };
}

/** What one request holds of the total. */
class Reservation {
  readonly #take: (bytes: number, own: number) => void;
  readonly #headers: number;
  bytes = 0;

  constructor(take: (bytes: number, own: number) => void, headers: number) {
    this.#take = take;
    this.#headers = headers;
  }

  /** Grows to the headers and a body of this size; throws {@link Refused}. */
  growTo(body: number): void {
    const more = this.#headers + body - this.bytes;
    this.#take(more, this.bytes);
    this.bytes += more;
  }
}

/** Headers hold a record's key twice, so they may be larger than the body. */
function headerBytes({ rawHeaders }: IncomingMessage): number {
  let bytes = 0;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

/** Throws {@link Refused} where the headers say enough for that, else rejects with it. */
function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limit: number,
  reservation: Reservation,
): Buffer | Promise<Buffer> {
  const { headers } = request;
  const length = headers['content-length'] === undefined ? null : Number(headers['content-length']);
  const isChunked = headers['transfer-encoding'] !== undefined;
  // The sender went away while its token was verified: nothing more would be heard of the request.
  if (request.destroyed) throw brokenOff();
  if (length !== null && length > limit) throw tooLarge(limit);
  reservation.growTo(length ?? (isChunked ? Math.min(FIRST_BYTES, limit) : 0));
  if (length === 0 || (length === null && !isChunked)) return NOTHING;
  if (headers.expect !== undefined) response.writeContinue();
  return collect(request, length, limit, reservation);
}

/**
 * Copies what arrives into one buffer. A list of chunks would hold a hundred bytes of bookkeeping for
 * each, and a sender may cut its body into chunks of one byte.
 */
function collect(
  request: IncomingMessage,
  length: number | null,
  limit: number,
  reservation: Reservation,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let held: Buffer | null = null;
    let size = 0;
    const onData = (chunk: Buffer) => {
      try {
        if (size + chunk.length > limit) throw tooLarge(limit);
        held ??= Buffer.allocUnsafe(length ?? Math.min(FIRST_BYTES, limit));
        if (size + chunk.length > held.length) {
          const capacity = Math.min(limit, Math.max(size + chunk.length, held.length * 2));
          reservation.growTo(capacity);
          held = grown(held, size, capacity);
        }
        size += chunk.copy(held, size);
      } catch (error) {
        request.off('data', onData);
        reject(error);
      }
    };
    request
      .on('data', onData)
      .once('end', () => resolve(held?.subarray(0, size) ?? NOTHING))
      .on('error', () => reject(brokenOff()));
  });
}

function grown(from: Buffer, used: number, capacity: number): Buffer {
  const to = Buffer.allocUnsafe(capacity);
  from.copy(to, 0, 0, used);
  return to;
}

function tooLarge(limit: number): HttpError {
  return new HttpError(
    413,
    `the body is larger than ${limit / 1024 / 1024} MiB (BODY_LIMIT_MIB)`,
    'too-large',
  );
}

function brokenOff(): HttpError {
  return new HttpError(408, 'the connection ended before the request', 'broken-off');
}
