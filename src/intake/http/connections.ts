import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface TurnoverOptions {
  /** Maximum number of requests of a connection; it is closed after at least half of them. */
  readonly requests: number;
  /** Maximum time from a connection's first request; it is closed after at least half of it. */
  readonly seconds: number;
}

interface Connection {
  requests: number;
  /** By the monotonic clock, in milliseconds. */
  readonly until: number;
  readonly most: number;
  latest: ServerResponse;
}

/**
 * Connections closes connections after a number of requests or a time. A Service balances connections, not requests,
 * and a KafkaSource keeps up to 99 connections while they are busy, so pods that KEDA added got no events until the
 * old connections ended. Each connection draws its own limits, so that the connections of a sender do not end
 * together.
 */
export class Connections {
  readonly #options: TurnoverOptions;
  readonly #known = new WeakMap<Socket, Connection>();

  constructor(options: TurnoverOptions) {
    this.#options = options;
  }

  /** Counts a request; returns true if its answer must be the connection's last. */
  isLast(response: ServerResponse): boolean {
    const { socket } = response.req;
    const now = performance.now();
    let connection = this.#known.get(socket);
    if (connection === undefined) {
      connection = {
        requests: 0,
        until: now + this.#options.seconds * 1000 * drawn(),
        most: Math.ceil(this.#options.requests * drawn()),
        latest: response,
      };
      this.#known.set(socket, connection);
    }
    connection.latest = response;
    connection.requests++;
    return connection.requests >= connection.most || now >= connection.until;
  }

  /** The response to the connection's newest request; undefined before the first. */
  latest(socket: Socket): ServerResponse | undefined {
    return this.#known.get(socket)?.latest;
  }
}

/** Returns a random factor from a half to one. */
function drawn(): number {
  return (1 + Math.random()) / 2;
}
