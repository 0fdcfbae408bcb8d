import { createServer, connect, type AddressInfo, type Socket } from 'node:net';

/** A proxy in front of a server, whose connections can be cut. */
export class Proxy {
  readonly port: number;
  readonly #sockets: Set<Socket>;
  readonly #pairs: Set<readonly [near: Socket, far: Socket]>;
  readonly #switch: { isCut: boolean; target: number };
  readonly close: () => void;

  private constructor(
    port: number,
    sockets: Set<Socket>,
    pairs: Set<readonly [near: Socket, far: Socket]>,
    state: { isCut: boolean; target: number },
    close: () => void,
  ) {
    this.port = port;
    this.#sockets = sockets;
    this.#pairs = pairs;
    this.#switch = state;
    this.close = close;
  }

  static async to(port: number): Promise<Proxy> {
    const sockets = new Set<Socket>();
    const pairs = new Set<readonly [near: Socket, far: Socket]>();
    const state = { isCut: false, target: port };
    const server = createServer((near) => {
      if (state.isCut) {
        near.destroy();
        return;
      }
      const far = connect(state.target, '127.0.0.1');
      const both = [near, far] as const;
      pairs.add(both);
      near.on('close', () => pairs.delete(both));
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(one);
        one.pipe(other);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          sockets.delete(one);
          other.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port: own } = server.address() as AddressInfo;
    return new Proxy(own, sockets, pairs, state, () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
  }

  /** Breaks all connections and refuses new ones. */
  cut(): void {
    this.#switch.isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends the connections to the server without a word to the clients, as when its host vanishes. */
  vanish(): void {
    for (const [near, far] of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
      far.removeAllListeners('close');
      far.destroy();
      near.resume();
    }
    this.#pairs.clear();
  }

  repair(): void {
    this.#switch.isCut = false;
  }

  /** Breaks all connections, and leads new ones to another server. */
  leadTo(port: number): void {
    this.cut();
    this.#switch.target = port;
    this.repair();
  }
}
