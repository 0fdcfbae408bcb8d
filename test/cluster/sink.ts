import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { HTTP, type CloudEvent } from 'cloudevents';

/** The sink to which pods post the events that handlers return. */
export class Sink {
  readonly url: string;
  /** Whether the sink answers 503 and discards the events. */
  isAway = false;
  /** The received events, in order. */
  readonly events: { readonly id: string; readonly type: string }[] = [];
  readonly #server: Server;

  private constructor(host: string, server: Server) {
    this.#server = server;
    this.url = `http://${host}:${(server.address() as AddressInfo).port}/`;
    server.on('request', (request, response) => {
      void this.#take(request, response);
    });
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const { id, type } = HTTP.toEvent({ headers: request.headers, body }) as CloudEvent;
    if (!this.isAway) this.events.push({ id, type });
    response.writeHead(this.isAway ? 503 : 202).end();
  }

  static async start(host: string): Promise<Sink> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    return new Sink(host, server);
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
