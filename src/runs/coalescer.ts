import { isBadValue } from '../state/database/database.ts';

const MAX_ITEMS = 256;
/** At a time: while one waits for its commit to reach the disk, the next is carried out. */
const STATEMENTS = 2;

interface Pending<T> {
  readonly item: T;
  readonly resolve: (held: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Coalesces marks on runs, such as "done": those that come in while the last statement is under way
 * share the next one (82,000 no-op runs/s; one statement each 3,500).
 */
export class Coalescer<T> {
  /** Marks these; gives back those that are still held. */
  readonly #mark: (items: readonly T[]) => Promise<Set<T>>;
  #queue: Pending<T>[] = [];
  #writing = 0;

  constructor(mark: (items: readonly T[]) => Promise<Set<T>>) {
    this.#mark = mark;
  }

  /** Marks a run; false if this pod no longer held it. */
  add(item: T): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      if (this.#writing < STATEMENTS) void this.#pump();
    });
  }

  async #pump(): Promise<void> {
    this.#writing++;
    // One turn of the event loop lets handlers that end together share a statement.
    await new Promise(setImmediate);
    while (this.#queue.length > 0) await this.#write(this.#queue.splice(0, MAX_ITEMS));
    this.#writing--;
  }

  /** One run whose events can't be stored must not hold up the others: they are marked one by one. */
  async #write(batch: readonly Pending<T>[]): Promise<void> {
    try {
      const held = await this.#mark(batch.map(({ item }) => item));
      for (const { item, resolve } of batch) resolve(held.has(item));
    } catch (error) {
      if (batch.length > 1 && isBadValue(error)) {
        for (const each of batch) await this.#write([each]);
      } else {
        for (const { reject } of batch) reject(error);
      }
    }
  }
}
