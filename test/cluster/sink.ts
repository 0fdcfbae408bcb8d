import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Where pods post the events that handlers give back. */
export class Sink {
  readonly url: string;
  /** It answers 503, and keeps nothing. */
  isAway = false;
  /** `ce-id` and `ce-type` of what came, in order. */
  readonly events: { readonly id: string; readonly type: string }[] = [];
  readonly #server: Server;

  private constructor(host: string, server: Server) {
    this.#server = server;
    this.url = `http://${host}:${(server.address() as AddressInfo).port}/`;
    server.on('request', (request, response) => {
      const { 'ce-id': id, 'ce-type': type } = request.headers;
      if (!this.isAway) this.events.push({ id: String(id), type: String(type) });
      const status = this.isAway ? 503 : 202;
      request.resume().once('end', () => response.writeHead(status).end());
    });
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
