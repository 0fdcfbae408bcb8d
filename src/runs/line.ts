import type { StoredMember } from '../state/runs.ts';
import type { Lease } from '../state/store.ts';

/** A leased run, ready for its handler. */
export interface Loaded {
  readonly lease: Lease;
  readonly members: readonly StoredMember[];
}

/** Runs are leased ahead for so many milliseconds of work: several round trips of a claim. */
const AHEAD_MS = 50;
const MAX_AHEAD = 512;
/** Until some have shown how short they are, handlers count as slow. */
const FIRST_MS = 1_000;

/** Runs that wait for a handler's slot, first come, first served. */
export class Line {
  readonly #slots: number;
  readonly #start: (run: Loaded) => void;
  #waiting: Loaded[] = [];
  /** Of those that wait, how many did so already when it was last asked for the late ones. */
  #late = 0;
  #busy = 0;
  /** How long the last handlers kept their slots, about. */
  #slotMs = FIRST_MS;

  constructor(slots: number, start: (run: Loaded) => void) {
    this.#slots = slots;
    this.#start = start;
  }

  /** Slots that are taken. */
  get busy(): number {
    return this.#busy;
  }

  /**
   * How many runs to lease beyond free slots, so that the next are claimed and loaded, many at a time,
   * while handlers run and the last are marked done (16 slots, handlers that do nothing: 2.8x). None
   * where handlers are slow: another pod may have a free slot.
   */
  get ahead(): number {
    return Math.min(MAX_AHEAD, Math.floor((this.#slots * AHEAD_MS) / this.#slotMs));
  }

  add(runs: readonly Loaded[]): void {
    this.#waiting.push(...runs);
    this.#fill();
  }

  /** A slot is free again, after so many milliseconds. */
  leave(ms: number): void {
    this.#busy--;
    this.#slotMs += (ms - this.#slotMs) / 16;
    this.#fill();
  }

  /** Takes out who has waited since it was last called: handlers are slower than they were. */
  takeLate(): Loaded[] {
    const late = this.#waiting.splice(0, this.#late);
    this.#late = this.#waiting.length;
    if (late.length > 0) this.#slotMs = Math.max(this.#slotMs, FIRST_MS);
    return late;
  }

  takeAll(): Loaded[] {
    this.#late = 0;
    return this.#waiting.splice(0);
  }

  #fill(): void {
    const next = this.#waiting.splice(0, this.#slots - this.#busy);
    this.#late = Math.max(0, this.#late - next.length);
    this.#busy += next.length;
    for (const run of next) this.#start(run);
  }
}
