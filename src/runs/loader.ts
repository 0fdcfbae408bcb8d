import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../function.ts';
import { redactedErrorText } from '../lib/error-text.ts';
import { isBadValue, isTimeout, type Database } from '../state/database/database.ts';
import type { PartOf } from '../definitions/registered-function.ts';
import { loadMembers } from '../state/runs/load-members.ts';
import type { Lease } from '../state/lease.ts';
import type { QueuedRun } from './run-queue.ts';

/**
 * Size limit of the rows that one statement loads, and of the rows in memory that wait for a slot. A larger set
 * is loaded alone.
 */
export const LOAD_BYTES = 8 * 1024 * 1024;
const MAX_SETS = 256;
/** Number of concurrent statements; more than one, so that a slow one does not delay the sets behind it. */
const LOADS = 3;

export interface LoaderOptions {
  readonly database: Database;
  readonly partOf: PartOf;
  readonly log: Log;
  /** Maximum size of a set. */
  readonly maxSetBytes: number;
  /** Returns the size of the rows that are loaded and wait for a slot. */
  readonly queuedBytes: () => number;
  readonly onLoaded: (runs: readonly QueuedRun[]) => void;
}

/**
 * Loader loads the rows of leased runs, many sets with one statement, and no more than handlers will need soon.
 * A set that is too large for this is queued without its rows, as are all sets of a statement that timed out:
 * their rows are loaded once they have a slot, so that they do not delay other sets.
 */
export class Loader {
  readonly #options: LoaderOptions;
  #unread: Lease[] = [];
  #late = new Set<Lease>();
  #loading = 0;
  #isStopped = false;

  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  add(leases: readonly Lease[]): void {
    this.#unread.push(...leases);
    this.pump();
  }

  /** Loads further rows, up to the limit. Called when rows have been released from memory. */
  pump(): void {
    while (
      this.#unread.length > 0 &&
      this.#loading < LOADS &&
      this.#options.queuedBytes() < LOAD_BYTES
    ) {
      void this.#load(this.#unread.splice(0, MAX_SETS));
    }
  }

  /** Removes the leases that have waited for their rows since the last call. */
  takeLate(): Lease[] {
    const late = this.#unread.filter((lease) => this.#late.has(lease));
    this.#unread = this.#unread.filter((lease) => !this.#late.has(lease));
    this.#late = new Set(this.#unread);
    return late;
  }

  /** Removes all leases; a load that fails from now on is not repeated. */
  stop(): Lease[] {
    this.#isStopped = true;
    return this.#unread.splice(0);
  }

  async #load(leases: readonly Lease[]): Promise<void> {
    this.#loading++;
    const loaded: QueuedRun[] = [];
    const { database, partOf, maxSetBytes } = this.#options;
    try {
      // a set that is too large for a handler is measured once it has a slot, and rejected then
      const sets = await loadMembers(database, partOf, leases, Math.min(LOAD_BYTES, maxSetBytes));
      const tooMuch = sets.indexOf(null);
      const n = tooMuch === -1 ? sets.length : tooMuch;
      for (const [i, lease] of leases.slice(0, n).entries()) {
        loaded.push({ lease, ...sets[i]!, isLarge: false });
      }
      this.#unread.unshift(...leases.slice(n));
      if (n === 0) loaded.push(unloaded(this.#unread.shift()!));
    } catch (error) {
      const fields = { error: redactedErrorText(error), sets: leases.length };
      if (isTimeout(error) || isBadValue(error)) {
        this.#options.log.warn(fields, 'the rows of sets could not be loaded together');
        loaded.push(...leases.map(unloaded));
      } else {
        this.#options.log.warn(fields, 'the database does not answer; trying again');
        await sleep(1_000);
        if (!this.#isStopped) this.#unread.unshift(...leases);
      }
    }
    this.#loading--;
    this.#options.onLoaded(loaded);
    this.pump();
  }
}

/** Returns a run to be queued without its rows. */
export function unloaded(lease: Lease): QueuedRun {
  return { lease, members: null, bytes: 0, isLarge: false };
}
