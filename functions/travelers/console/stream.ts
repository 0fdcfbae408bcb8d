import { Readable } from 'node:stream';

/** What a reader has not taken yet; more, when there is something new, and it is too slow. */
const MOST_WAITING = 1024 * 1024;

/** One reader of server-sent events (https://html.spec.whatwg.org/#server-sent-events). */
export class EventStream {
  /** The body of the answer. */
  readonly body: Readable;
  #ended = false;

  constructor(onEnd: () => void) {
    this.body = new Readable({ read() {} });
    this.body.once('close', () => {
      this.#ended = true;
      onEnd();
    });
    this.body.on('error', () => {});
    // Connections end at every release of the console: come back soon, but not all at once.
    this.body.push(`retry: ${1000 + Math.floor(Math.random() * 2000)}\n\n`);
  }

  /** Sends bytes made by {@link toEvent}; false if the reader did not take what it had been sent. */
  send(event: Buffer): boolean {
    if (this.#ended) return true;
    if (this.body.readableLength > MOST_WAITING) {
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

/** An event as it goes over the wire; a reader that comes back names the last id it got. */
export function toEvent(name: string, data: unknown, id?: string): Buffer {
  const place = id === undefined ? '' : `id: ${id}\n`;
  return Buffer.from(`event: ${name}\n${place}data: ${JSON.stringify(data)}\n\n`);
}
