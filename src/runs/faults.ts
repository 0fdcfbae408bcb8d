import type { Tx } from '../function.ts';
import { isReadOnly, isTimeout, mayPass, sqlState } from '../state/database/database.ts';
import type { Lease } from '../state/lease.ts';

/** A handler may have lost its connection by what it asked: this many times in a row are not charged. */
const FREE_CUTS = 20;
const FIRST_WAIT_MS = 250;
const MAX_WAIT_MS = 5_000;
/** Runs that came to an end elsewhere are forgotten all at once. */
const MAX_RUNS = 10_000;

/**
 * Is it the database that failed, and not what it was asked to do? No connection, one that was cut, a
 * server that shuts down or has no room for clients, or one that only reads, as after a failover.
 */
export function isFault(error: unknown): boolean {
  const state = sqlState(error);
  if (state === null) return mayPass(error) && !isTimeout(error);
  return /^(08|57P0[1-5]|53300)/.test(state) || isReadOnly(error);
}

/** Was there a connection before this fault, which the handler may have something to do with? */
function isCut(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== null) return !/^(08001|08004|53300|57P03)$/.test(state);
  const said = `${String(error)} ${(error as { code?: string }).code ?? ''}`;
  return !/trying to connect|connection timeout|connect E|ECONNREFUSED|ENOTFOUND|EAI_AGAIN/.test(
    said,
  );
}

/** Passes on a handler's queries and remembers the first fault of the database among their answers. */
export class WatchedTx implements Tx {
  readonly #tx: Tx;
  #fault: unknown = null;

  constructor(tx: Tx) {
    this.#tx = tx;
  }

  /**
   * What the database did to this transaction. Whatever the handler threw after it follows from it; an
   * error of the same kind from elsewhere, such as another service, is the handler's own.
   */
  get fault(): unknown {
    return this.#fault;
  }

  query<R extends object>(text: string, values: readonly unknown[] = []) {
    const answer = this.#tx.query<R>(text, values);
    answer.catch((error: unknown) => this.note(error));
    return answer;
  }

  note(error: unknown): void {
    if (isFault(error)) this.blame(error);
  }

  blame(error: unknown): void {
    this.#fault ??= error;
  }
}

/** Counts the faults that runs of this process met one after the other. */
export class Faults {
  readonly #runs = new Map<string, { faults: number; cuts: number }>();

  /** Milliseconds until a run that met this fault is due again, its attempt uncounted; null if it counts. */
  waitAfter(lease: Lease, fault: unknown, random: () => number = Math.random): number | null {
    if (this.#runs.size >= MAX_RUNS) this.#runs.clear();
    const name = nameOf(lease);
    const { faults, cuts } = this.#runs.get(name) ?? { faults: 0, cuts: 0 };
    const met = { faults: faults + 1, cuts: cuts + (isCut(fault) ? 1 : 0) };
    this.#runs.set(name, met);
    if (met.cuts > FREE_CUTS) return null;
    return Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** faults) * (0.5 + random() / 2);
  }

  forget(lease: Lease): void {
    this.#runs.delete(nameOf(lease));
  }
}

function nameOf({ function: fn, key, revision }: Lease): string {
  return `${fn}/${revision}/${key}`;
}
