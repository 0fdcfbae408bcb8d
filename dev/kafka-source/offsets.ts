/** Tracks up to which offset all records of a partition are finished. */
export class Offsets {
  readonly #open: { readonly offset: bigint; finished: boolean }[] = [];
  #next: bigint | null = null;

  /** Adds the next record in order; returns the function to call when it is finished. */
  start(offset: string): () => void {
    const entry = { offset: BigInt(offset), finished: false };
    this.#open.push(entry);
    return () => {
      entry.finished = true;
      while (this.#open[0]?.finished) this.#next = this.#open.shift()!.offset + 1n;
    };
  }

  /** The offset that can be committed: the first unfinished record's; null before the first record. */
  get committable(): bigint | null {
    return this.#next;
  }
}
