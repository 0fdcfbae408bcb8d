import type { StoredMember } from '../state/runs/load-members.ts';
import type { Lease } from '../state/lease.ts';

/** A leased run that waits for its handler's slot. */
export interface Waiting {
  readonly lease: Lease;
  /** The rows of its set; null where they are loaded in the slot, by themselves. */
  readonly members: readonly StoredMember[] | null;
  /** Of its rows as JSON, while they wait in memory. */
  readonly bytes: number;
  /** Its rows are so many that one such run at a time is enough for this process. */
  readonly isLarge: boolean;
}

/** Runs are leased ahead for so many milliseconds of work: several round trips of a claim. */
const AHEAD_MS = 50;
const MAX_AHEAD = 512;
/** Until some have shown how short they are, handlers count as slow. */
const FIRST_MS = 1_000;

/** Runs that wait for a handler's slot, first come, first served. */
export class RunQueue {
  readonly #slots: number;
  readonly #start: (run: Waiting) => void;
  #waiting: Waiting[] = [];
  #bytes = 0;
  /** Of those that wait, how many did so already when it was last asked for the late ones. */
  #late = 0;
  #busy = 0;
  #large = 0;
  /** How long the last handlers kept their slots, about. */
  #slotMs = FIRST_MS;

  constructor(slots: number, start: (run: Waiting) => void) {
    this.#slots = slots;
    this.#start = start;
  }

  /** Slots that are taken. */
  get busy(): number {
    return this.#busy;
  }

  /** Runs that have a slot or wait for one. */
  get taken(): number {
    return this.#busy + this.#waiting.length;
  }

  /** Bytes of rows in memory whose handlers have not started. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * How many runs to lease beyond free slots, so that the next are claimed and loaded, many at a time,
   * while handlers run and the last are marked done (16 slots, handlers that do nothing: 2.8x). None
   * where handlers are slow: another pod may have a free slot.
   */
  get ahead(): number {
    return Math.min(MAX_AHEAD, Math.floor((this.#slots * AHEAD_MS) / this.#slotMs));
  }

  add(runs: readonly Waiting[]): void {
    for (const run of runs) this.#bytes += run.bytes;
    this.#waiting.push(...runs);
    this.#fill();
  }

  /** The slot of this run is free again, after so many milliseconds. */
  leave(run: Waiting, ms: number): void {
    this.#busy--;
    if (run.isLarge) this.#large--;
    this.#slotMs += (ms - this.#slotMs) / 16;
    this.#fill();
  }

  /** Takes out who has waited since it was last called: handlers are slower than they were. */
  takeLate(): Waiting[] {
    const late = this.#take(this.#late);
    this.#late = this.#waiting.length;
    if (late.length > 0) this.#slotMs = Math.max(this.#slotMs, FIRST_MS);
    return late;
  }

  takeAll(): Waiting[] {
    this.#late = 0;
    return this.#take(this.#waiting.length);
  }

  #take(n: number): Waiting[] {
    const taken = this.#waiting.splice(0, n);
    for (const run of taken) this.#bytes -= run.bytes;
    return taken;
  }

  #fill(): void {
    while (this.#busy < this.#slots) {
      const i = this.#large === 0 ? 0 : this.#waiting.findIndex((run) => !run.isLarge);
      const run = this.#waiting[i];
      if (run === undefined) return;
      this.#waiting.splice(i, 1);
      if (i < this.#late) this.#late--;
      this.#bytes -= run.bytes;
      this.#busy++;
      if (run.isLarge) this.#large++;
      this.#start(run);
    }
  }
}
