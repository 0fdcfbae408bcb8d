import type { StoredMember } from '../state/runs/load-members.ts';
import type { Lease } from '../state/lease.ts';

/** A run that is leased to this process. */
export interface LeasedRun {
  readonly lease: Lease;
  /** Aborts the attempt: the lease is lost, the process shuts down, or the timeout has passed. */
  readonly abort: AbortController;
  /** Whether its handler was called before the start is recorded in the database. */
  isUnrecorded: boolean;
}

/** A leased run that waits for a slot. */
export interface QueuedRun {
  readonly lease: Lease;
  /** The rows of its set; null if they are loaded once the run has its slot. */
  readonly members: readonly StoredMember[] | null;
  /** Size of its rows as JSON, while they are in memory. */
  readonly bytes: number;
  /** Whether its set is so large that this process runs only one such set at a time. */
  readonly isLarge: boolean;
}

/** Milliseconds of work for which runs are prefetched: several round trips of a claim. */
const PREFETCH_MS = 50;
const MAX_PREFETCH = 512;
/** Initial average: handlers count as slow until some have been measured. */
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
  /** Moving average of the time for which handlers occupy their slots. */
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
   * Size of the prefetch window: the number of runs to lease beyond the free slots, so that they are claimed and
   * loaded in batches while handlers run and finished runs are marked done (2.8x with 16 slots and no-op
   * handlers). Zero if handlers are slow, because another worker may have a free slot.
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

  /** Removes the runs that have waited since the last call, because handlers have become slower. */
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
