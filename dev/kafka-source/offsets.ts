/** Knows up to where the records of a partition are finished without a gap. */
export class Offsets {
  readonly #open: { readonly offset: bigint; finished: boolean }[] = [];
  #next: bigint | null = null;

  /** Takes the next record in order; gives back what to call when it is finished. */
  start(offset: string): () => void {
    const entry = { offset: BigInt(offset), finished: false };
    this.#open.push(entry);
    return () => {
      entry.finished = true;
      while (this.#open[0]?.finished) this.#next = this.#open.shift()!.offset + 1n;
    };
  }

  /** What may be committed: the offset after the longest finished run; null before the first. */
  get committable(): bigint | null {
    return this.#next;
  }
}
