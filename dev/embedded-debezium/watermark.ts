/** One transaction on its way: how many of its messages are not delivered, and where it ends. */
export interface Transaction {
  undelivered: number;
  end: bigint | undefined;
}

/**
 * Knows the position in the log below which everything is delivered. Messages are delivered in any
 * order; the position moves only past a transaction whose messages, and those of all before it,
 * have got their 2xx.
 */
export class Watermark {
  readonly #open: Transaction[] = [];
  #position: bigint;

  constructor(position: bigint) {
    this.#position = position;
  }

  /** What may be acknowledged. */
  get position(): bigint {
    return this.#position;
  }

  /** Messages sent and not yet delivered. */
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

  /** The source says that nothing more comes below this position. */
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
