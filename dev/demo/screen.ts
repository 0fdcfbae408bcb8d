import type { WriteStream } from 'node:tty';

/** The demo's output: permanent lines and, in a terminal, a status line at the bottom. */
export class Screen {
  readonly #out: WriteStream;
  readonly #live: boolean;
  readonly #every: number;
  #status = '';
  #shownAt = Date.now();

  /** If `live`, the status is rewritten in place; otherwise it is printed as a line every `every` ms. */
  constructor(out: WriteStream, live: boolean, every = 5_000) {
    this.#out = out;
    this.#live = live;
    this.#every = every;
  }

  line(text: string): void {
    this.#out.write(this.#live ? `\r\u001B[2K${text}\n${this.#cut()}` : `${text}\n`);
  }

  status(text: string): void {
    this.#status = text;
    if (this.#live) {
      this.#out.write(`\r\u001B[2K${this.#cut()}`);
    } else if (Date.now() - this.#shownAt >= this.#every) {
      this.#shownAt = Date.now();
      this.#out.write(`${text}\n`);
    }
  }

  /** Removes the status line, so that further output starts on its own line. */
  clear(): void {
    this.#status = '';
    if (this.#live) this.#out.write('\r\u001B[2K');
  }

  /** The status, cut to the terminal's width: a line that wraps can't be rewritten in place. */
  #cut(): string {
    return this.#status.slice(0, (this.#out.columns || 80) - 1);
  }
}
