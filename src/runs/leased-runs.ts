import type { Lease } from '../state/lease.ts';
import type { BatchSize } from './function-handler.ts';
import type { LeasedRun } from './run-queue.ts';
import { mayShareCall } from './suspects.ts';

/** Runs of a function with batches that may share a call. */
interface Batched {
  readonly size: number;
  /** Runs without a slot. */
  waiting: number;
  /** Slots that its runs have. */
  calls: number;
}

/**
 * LeasedRuns holds all runs that are leased to this process: those that are loaded, queued, handled or marked done.
 * It counts the slots that they have or wait for: one for each run, or for each full batch.
 */
export class LeasedRuns {
  readonly #runs = new Map<string, LeasedRun>();
  readonly #batched: ReadonlyMap<number, Batched>;
  /** All other runs: each takes a slot. */
  #single = 0;

  /** `sizes` are those of the functions with batches, by id. */
  constructor(sizes: Iterable<readonly [fn: number, batch: BatchSize]>) {
    this.#batched = new Map(
      [...sizes].map(([fn, { size }]) => [fn, { size, waiting: 0, calls: 0 }] as const),
    );
  }

  get size(): number {
    return this.#runs.size;
  }

  get slots(): number {
    let slots = this.#single;
    for (const { size, waiting, calls } of this.#batched.values()) {
      slots += calls + Math.ceil(waiting / size);
    }
    return slots;
  }

  /** Runs that the function's last waiting batch lacks; 0 for a function without batches, or none that waits. */
  room(fn: number): number {
    const batched = this.#batched.get(fn);
    if (batched === undefined) return 0;
    const { size, waiting } = batched;
    return Math.ceil(waiting / size) * size - waiting;
  }

  values(): Iterable<LeasedRun> {
    return this.#runs.values();
  }

  has(lease: Lease): boolean {
    return this.#runs.has(nameOf(lease));
  }

  get(lease: Lease): LeasedRun {
    return this.#runs.get(nameOf(lease))!;
  }

  add(lease: Lease): void {
    const run = { lease, abort: new AbortController(), isUnrecorded: false };
    this.#runs.set(nameOf(lease), run);
    const batched = this.#batchedOf(lease);
    if (batched === undefined) this.#single++;
    else batched.waiting++;
  }

  /** Call it when these runs, which waited, get a slot. */
  enterSlot(runs: readonly LeasedRun[]): void {
    this.#move(runs, 1);
  }

  /** Call it when these runs wait for another slot. */
  waitAgain(runs: readonly LeasedRun[]): void {
    this.#move(runs, -1);
  }

  /** Removes runs that had a slot. */
  end(runs: readonly LeasedRun[]): void {
    for (const { lease } of runs) this.#runs.delete(nameOf(lease));
    const batched = this.#batchedOf(runs[0]!.lease);
    if (batched === undefined) this.#single -= runs.length;
    else batched.calls--;
  }

  /** Removes a run that waited. */
  remove(lease: Lease): void {
    if (!this.#runs.delete(nameOf(lease))) return;
    const batched = this.#batchedOf(lease);
    if (batched === undefined) this.#single--;
    else batched.waiting--;
  }

  #batchedOf(lease: Lease): Batched | undefined {
    return mayShareCall(lease) ? this.#batched.get(lease.function) : undefined;
  }

  #move(runs: readonly LeasedRun[], calls: 1 | -1): void {
    const batched = this.#batchedOf(runs[0]!.lease);
    if (batched === undefined) return;
    batched.calls += calls;
    batched.waiting -= calls * runs.length;
  }
}

/** Returns a text that identifies the lease. */
export function nameOf(lease: Lease): string {
  return `${lease.function}/${lease.token}/${lease.key}`;
}
