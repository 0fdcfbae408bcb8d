import type { StoredMember } from '../state/runs/load-members.ts';
import type { Lease } from '../state/lease.ts';

/** A run that this process holds the lease of. */
export interface LeasedRun {
  readonly lease: Lease;
  /** Ends the attempt: the lease is lost, the process shuts down, or the timeout is over. */
  readonly abort: AbortController;
  /** Its handler was called, and the start is not recorded in the database. */
  isUnrecorded: boolean;
}

/** A leased run that waits for a slot. */
export interface QueuedRun {
  readonly lease: Lease;
  /** The rows of its set; null where they are loaded once the run has its slot. */
  readonly members: readonly StoredMember[] | null;
  /** Size of its rows as JSON, while they wait in memory. */
  readonly bytes: number;
  /** Its set is so large that one such run at a time is enough for this process. */
  readonly isLarge: boolean;
}

/** Milliseconds of work that runs are prefetched for: several round trips of a claim. */
const PREFETCH_MS = 50;
const MAX_PREFETCH = 512;
/** Handlers count as slow until some have shown how short they are. */
const FIRST_MS = 1_000;

/** RunQueue holds leased runs that wait for a slot, first come, first served. */
export class RunQueue {
  readonly #slots: number;
  readonly #start: (run: QueuedRun) => void;
  #queued: QueuedRun[] = [];
  #bytes = 0;
  /** Number of queued runs that were queued already at the last call of {@link takeLate}. */
  #late = 0;
  #busy = 0;
  #large = 0;
  /** Moving average of the time that handlers keep their slots. */
  #slotMs = FIRST_MS;

  constructor(slots: number, start: (run: QueuedRun) => void) {
    this.#slots = slots;
    this.#start = start;
  }

  /** Slots in use. */
  get busy(): number {
    return this.#busy;
  }

  /** Runs that have a slot or wait for one. */
  get size(): number {
    return this.#busy + this.#queued.length;
  }

  /** Bytes of rows in memory whose handlers have not started. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Size of the prefetch window: the number of runs to lease beyond free slots, so that the next ones are
   * claimed and loaded, many at a time, while handlers run and the last are marked done (16 slots, handlers
   * that do nothing: 2.8x). Zero where handlers are slow, because another worker may have a free slot.
   */
  get prefetch(): number {
    return Math.min(MAX_PREFETCH, Math.floor((this.#slots * PREFETCH_MS) / this.#slotMs));
  }

  add(runs: readonly QueuedRun[]): void {
    for (const run of runs) this.#bytes += run.bytes;
    this.#queued.push(...runs);
    this.#fill();
  }

  /** Frees the slot of this run, which had it for `ms`. */
  leave(run: QueuedRun, ms: number): void {
    this.#busy--;
    if (run.isLarge) this.#large--;
    this.#slotMs += (ms - this.#slotMs) / 16;
    this.#fill();
  }

  /** Removes the runs that have waited since the last call: handlers are slower than they were. */
  takeLate(): QueuedRun[] {
    const late = this.#take(this.#late);
    this.#late = this.#queued.length;
    if (late.length > 0) this.#slotMs = Math.max(this.#slotMs, FIRST_MS);
    return late;
  }

  takeAll(): QueuedRun[] {
    this.#late = 0;
    return this.#take(this.#queued.length);
  }

  #take(n: number): QueuedRun[] {
    const taken = this.#queued.splice(0, n);
    for (const run of taken) this.#bytes -= run.bytes;
    return taken;
  }

  #fill(): void {
    while (this.#busy < this.#slots) {
      const i = this.#large === 0 ? 0 : this.#queued.findIndex((run) => !run.isLarge);
      const run = this.#queued[i];
      if (run === undefined) return;
      this.#queued.splice(i, 1);
      if (i < this.#late) this.#late--;
      this.#bytes -= run.bytes;
      this.#busy++;
      if (run.isLarge) this.#large++;
      this.#start(run);
    }
  }
}
