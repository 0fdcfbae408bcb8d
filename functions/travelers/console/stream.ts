import { Readable } from 'node:stream';

/** Maximum number of unread bytes; if there are more when a new event is due, the reader is too slow. */
const MAX_WAITING = 1024 * 1024;

/** One reader of server-sent events (https://html.spec.whatwg.org/#server-sent-events). */
export class EventStream {
  /** The body of the response. */
  readonly body: Readable;
  #ended = false;

  constructor(onEnd: () => void) {
    this.body = new Readable({ read() {} });
    this.body.once('close', () => {
      this.#ended = true;
      onEnd();
    });
    this.body.on('error', () => {});
    // All connections end at every release of the console: clients reconnect soon, but not all at once.
    this.body.push(`retry: ${1000 + Math.floor(Math.random() * 2000)}\n\n`);
  }

  /** Sends an event of {@link toEvent}; returns false if the reader was too slow and has been dropped. */
  send(event: Buffer): boolean {
    if (this.#ended) return true;
    if (this.body.readableLength > MAX_WAITING) {
      this.body.destroy();
      return false;
    }
    this.body.push(event);
    return true;
  }

  end(): void {
    if (!this.#ended) this.body.push(null);
  }
}

/** Serializes an event; a client that reconnects sends the last id that it received. */
export function toEvent(name: string, data: unknown, id?: string): Buffer {
  const idLine = id === undefined ? '' : `id: ${id}\n`;
  return Buffer.from(`event: ${name}\n${idLine}data: ${JSON.stringify(data)}\n\n`);
}
