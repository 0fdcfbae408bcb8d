import type { WriteStream } from 'node:tty';

/** What the demo shows: lines that stay and, in a terminal, one at the bottom that changes. */
export class Screen {
  readonly #out: WriteStream;
  readonly #live: boolean;
  readonly #every: number;
  #status = '';
  #shownAt = Date.now();

  /** `live`: the status is rewritten in place; else it is a line like others, every `every` milliseconds. */
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

  /** Takes the status away, so that what follows begins on a line of its own. */
  clear(): void {
    this.#status = '';
    if (this.#live) this.#out.write('\r\u001B[2K');
  }

  /** A line that wraps can't be rewritten in place. */
  #cut(): string {
    return this.#status.slice(0, (this.#out.columns || 80) - 1);
  }
}
