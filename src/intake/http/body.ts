import type { IncomingMessage, ServerResponse } from 'node:http';
import { HttpError } from '../http-error.ts';

/** First allocation for a body of unknown length; it doubles from there. */
const FIRST_BYTES = 16 * 1024;
const NOTHING = Buffer.alloc(0);

export interface BodyLimits {
  /** Maximum size of a body in bytes. */
  readonly body: number;
  /** Maximum size in bytes of all requests that are being received or wait for their answer. */
  readonly total: number;
}

/**
 * Bodies bounds the memory of requests from their first byte until they are answered. Counting only complete
 * requests is not enough: with the database stalled, 60 bodies of 14 MiB took 1.58 GB at a limit of 64 MiB.
 */
export class Bodies {
  readonly #limits: BodyLimits;
  #held = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** Bytes held now. */
  get held(): number {
    return this.#held;
  }

  /**
   * Reads the request's body and counts its bytes until `use` has settled, and those to which it grows when it is
   * decoded. Throws {@link HttpError}: 413 if the body is too large, 503 if too many bytes are held already. The rest
   * of a refused body is discarded as it arrives: closing the connection would reset it while the sender is still
   * writing, and the answer would be lost.
   */
  async hold<T>(
    request: IncomingMessage,
    response: ServerResponse,
    use: (body: Buffer, growTo: (bytes: number) => void) => Promise<T>,
  ): Promise<T> {
    const reservation = new Reservation(this.#take, headerBytes(request));
    try {
      const body = await readBody(request, response, this.#limits.body, reservation);
      return await use(body, (bytes) => reservation.growTo(bytes));
    } catch (error) {
      request.resume();
      throw error;
    } finally {
      this.#held -= reservation.bytes;
    }
  }

  /** A request that exceeds the total limit is admitted when it is alone; otherwise it could never be ingested. */
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

/** The share of the total that one request holds. */
class Reservation {
  readonly #take: (bytes: number, own: number) => void;
  readonly #headers: number;
  bytes = 0;

  constructor(take: (bytes: number, own: number) => void, headers: number) {
    this.#take = take;
    this.#headers = headers;
  }

  /** Grows to the headers and a body of this size; throws {@link HttpError}. */
  growTo(body: number): void {
    const more = this.#headers + body - this.bytes;
    this.#take(more, this.bytes);
    this.bytes += more;
  }
}

/** Returns the size of the headers, which may exceed that of the body, because they hold a record's key twice. */
function headerBytes({ rawHeaders }: IncomingMessage): number {
  let bytes = 0;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

/** Throws {@link HttpError} if the headers suffice to refuse the request, otherwise rejects with it. */
function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limit: number,
  reservation: Reservation,
): Buffer | Promise<Buffer> {
  const { headers } = request;
  const length = headers['content-length'] === undefined ? null : Number(headers['content-length']);
  const isChunked = headers['transfer-encoding'] !== undefined;
  // The sender disconnected while its token was verified: the request will emit no more events.
  if (request.destroyed) throw brokenOff();
  if (length !== null && length > limit) throw tooLarge(limit);
  reservation.growTo(length ?? (isChunked ? Math.min(FIRST_BYTES, limit) : 0));
  if (length === 0 || (length === null && !isChunked)) return NOTHING;
  if (headers.expect !== undefined) response.writeContinue();
  return collect(request, length, limit, reservation);
}

/**
 * Copies the body into one buffer. A list of chunks would need a hundred bytes of bookkeeping for each, and a sender
 * may split its body into chunks of one byte.
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
