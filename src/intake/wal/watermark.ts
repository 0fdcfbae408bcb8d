/** A transaction in flight: the number of its undelivered messages, and where it ends. */
export interface Transaction {
  /** Commit time, epoch milliseconds. */
  readonly at: number;
  undelivered: number;
  end: bigint | undefined;
}

/**
 * Tracks the position in the log below which everything is delivered. Messages are delivered in any
 * order; the position moves past a transaction only when its messages and those of all transactions
 * before it are delivered.
 */
export class Watermark {
  readonly #open: Transaction[] = [];
  #position: bigint;

  constructor(position: bigint) {
    this.#position = position;
  }

  /** The position that can be acknowledged. */
  get position(): bigint {
    return this.#position;
  }

  /** Commit time of the oldest transaction that is not delivered; null if there is none. */
  get oldestAt(): number | null {
    return this.#open[0]?.at ?? null;
  }

  begin(at: number): Transaction {
    const transaction = { at, undelivered: 0, end: undefined };
    this.#open.push(transaction);
    return transaction;
  }

  delivered(transaction: Transaction): void {
    transaction.undelivered -= 1;
    this.#advance();
  }

  commit(transaction: Transaction, end: bigint): void {
    transaction.end = end;
    this.#advance();
  }

  /** Called when the source has no more messages below this position than those that have begun. */
  nothingBelow(position: bigint): void {
    const last = this.#open.at(-1);
    if (last === undefined) this.#raise(position);
    else if (last.end !== undefined && last.end < position) last.end = position;
  }

  #advance(): void {
    for (;;) {
      const [first] = this.#open;
      if (first?.end === undefined || first.undelivered > 0) return;
      this.#raise(first.end);
      this.#open.shift();
    }
  }

  #raise(position: bigint): void {
    if (position > this.#position) this.#position = position;
  }
}
