import type { StoredMember } from '../state/runs/load-members.ts';
import type { Lease } from '../state/lease.ts';
import type { BatchSize } from './function-handler.ts';

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

/** Runs that one call of a handler gets: one, or several of a function with batches. */
interface QueuedCall {
  readonly runs: QueuedRun[];
  /** Null if it gets one run. */
  readonly batch: BatchSize | null;
  /** Whether it starts even with fewer runs than its batch has room for. */
  isDue: boolean;
  /** Whether it could have started at the last call of {@link RunQueue.takeLate}. */
  isLate: boolean;
}

/** Milliseconds of work for which runs are prefetched: several round trips of a claim. */
const PREFETCH_MS = 50;
const MAX_PREFETCH = 512;
/** Initial average: handlers count as slow until some have been measured. */
const FIRST_MS = 1_000;

export interface RunQueueOptions {
  readonly slots: number;
  /** Bytes of rows at which a batch starts although it has room, so that further rows can be loaded. */
  readonly maxBytes: number;
  /** Returns the batch that a run may share; null if it runs alone. */
  readonly batchOf: (run: QueuedRun) => BatchSize | null;
  readonly start: (runs: readonly QueuedRun[]) => void;
}

/**
 * RunQueue holds leased runs that wait for a slot, first come, first served. A batch that waits, for its time or for a
 * slot, takes further runs as long as it has room.
 */
export class RunQueue {
  readonly #options: RunQueueOptions;
  #queued: QueuedCall[] = [];
  #bytes = 0;
  #busy = 0;
  #large = 0;
  /** Moving average of the time for which handlers occupy their slots. */
  #slotMs = FIRST_MS;

  constructor(options: RunQueueOptions) {
    this.#options = options;
  }

  /** Slots in use. */
  get busy(): number {
    return this.#busy;
  }

  /** Calls that have a slot or wait for one. */
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
    return Math.min(MAX_PREFETCH, Math.floor((this.#options.slots * PREFETCH_MS) / this.#slotMs));
  }

  add(runs: readonly QueuedRun[]): void {
    for (const run of runs) {
      this.#bytes += run.bytes;
      const batch = this.#options.batchOf(run);
      const open = batch === null ? undefined : this.#openBatch(run.lease.function);
      if (open !== undefined) open.runs.push(run);
      else this.#addCall(run, batch);
    }
    this.#fill();
  }

  /** Frees the slot of a call, which had it for `ms`. */
  leave([run]: readonly QueuedRun[], ms: number): void {
    this.#busy--;
    if (run!.isLarge) this.#large--;
    this.#slotMs += (ms - this.#slotMs) / 16;
    this.#fill();
  }

  /** Removes the runs that could have started at the last call, because handlers have become slower. */
  takeLate(): QueuedRun[] {
    const late = this.#take(({ isLate }) => isLate);
    for (const call of this.#queued) call.isLate = this.#isReady(call);
    if (late.length > 0) this.#slotMs = Math.max(this.#slotMs, FIRST_MS);
    return late;
  }

  takeAll(): QueuedRun[] {
    return this.#take(() => true);
  }

  #take(which: (call: QueuedCall) => boolean): QueuedRun[] {
    const taken = this.#queued.filter(which).flatMap(({ runs }) => runs);
    this.#queued = this.#queued.filter((call) => !which(call));
    for (const run of taken) this.#bytes -= run.bytes;
    return taken;
  }

  #openBatch(fn: number): QueuedCall | undefined {
    return this.#queued.findLast(
      ({ runs, batch }) =>
        batch !== null && runs[0]!.lease.function === fn && runs.length < batch.size,
    );
  }

  #addCall(run: QueuedRun, batch: BatchSize | null): void {
    const call = { runs: [run], batch, isDue: batch === null || batch.waitMs === 0, isLate: false };
    this.#queued.push(call);
    if (call.isDue) return;
    const onDue = () => {
      call.isDue = true;
      this.#fill();
    };
    setTimeout(onDue, batch!.waitMs).unref();
  }

  #isReady({ runs, batch, isDue }: QueuedCall): boolean {
    return isDue || runs.length >= batch!.size || this.#bytes >= this.#options.maxBytes;
  }

  #fill(): void {
    while (this.#busy < this.#options.slots) {
      const i = this.#queued.findIndex(
        (call) => this.#isReady(call) && !(this.#large > 0 && call.runs[0]!.isLarge),
      );
      const call = this.#queued[i];
      if (call === undefined) return;
      this.#queued.splice(i, 1);
      for (const { bytes } of call.runs) this.#bytes -= bytes;
      this.#busy++;
      if (call.runs[0]!.isLarge) this.#large++;
      this.#options.start(call.runs);
    }
  }
}
