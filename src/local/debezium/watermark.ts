/** A transaction in flight: the number of its undelivered messages, and where it ends. */
export interface Transaction {
  undelivered: number;
  end: bigint | undefined;
}

/**
 * Tracks the position in the log below which everything is delivered. Messages are delivered in any
 * order; the position moves past a transaction only when its messages and those of all transactions
 * before it have been answered 2xx.
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

  /** The number of messages sent and not yet delivered. */
  get undelivered(): number {
    return this.#open.reduce((sum, { undelivered }) => sum + undelivered, 0);
  }

  begin(): Transaction {
    const transaction = { undelivered: 0, end: undefined };
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

  /** Called when the source has no more messages below this position. */
  nothingBelow(position: bigint): void {
    if (this.#open.length === 0 && position > this.#position) this.#position = position;
  }

  #advance(): void {
    for (;;) {
      const [first] = this.#open;
      if (first?.end === undefined || first.undelivered > 0) return;
      this.#position = first.end;
      this.#open.shift();
    }
  }
}
