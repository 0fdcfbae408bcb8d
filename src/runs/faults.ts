import type { Tx } from '../function.ts';
import { isReadOnly, isTimeout, mayPass, sqlState } from '../state/database/database.ts';
import type { Lease } from '../state/lease.ts';

/**
 * Maximum number of consecutive lost connections that do not count as attempts. The number is limited because a
 * query of the handler may be the cause.
 */
const FREE_LOSSES = 20;
const FIRST_WAIT_MS = 250;
const MAX_WAIT_MS = 5_000;
/** Limits the memory for runs that have ended in another process; when it is reached, all entries are dropped. */
const MAX_RUNS = 10_000;

/**
 * Whether the database itself failed, and not the query that it was sent: there is no connection or it was
 * lost, the server shuts down, has no room for clients, or is read-only, as after a failover.
 */
export function isFault(error: unknown): boolean {
  const state = sqlState(error);
  if (state === null) return mayPass(error) && !isTimeout(error);
  return /^(08|57P0[1-5]|53300)/.test(state) || isReadOnly(error);
}

/** Whether an established connection was lost, which the handler may have caused. */
function isLostConnection(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== null) return !/^(08001|08004|53300|57P03)$/.test(state);
  const text = `${String(error)} ${(error as { code?: string }).code ?? ''}`;
  return !/trying to connect|connection timeout|connect E|ECONNREFUSED|ENOTFOUND|EAI_AGAIN/.test(
    text,
  );
}

/** WatchedTx forwards a handler's queries and remembers the first fault of the database among their results. */
export class WatchedTx implements Tx {
  readonly #tx: Tx;
  #fault: unknown = null;

  constructor(tx: Tx) {
    this.#tx = tx;
  }

  /**
   * The first fault of the database in this transaction, or null. An error that the handler throws after it is
   * considered its consequence; an error of the same kind from elsewhere, such as another service, is
   * attributed to the handler.
   */
  get fault(): unknown {
    return this.#fault;
  }

  query<R extends object>(text: string, values: readonly unknown[] = []) {
    const answer = this.#tx.query<R>(text, values);
    answer.catch((error: unknown) => this.note(error));
    return answer;
  }

  /** Remembers the error if it is a fault of the database. */
  note(error: unknown): void {
    if (isFault(error)) this.blame(error);
  }

  /** Remembers the error as a fault of the database. */
  blame(error: unknown): void {
    this.#fault ??= error;
  }
}

/** Faults counts the consecutive faults of the database, for each run of this process. */
export class Faults {
  readonly #runs = new Map<string, { faults: number; losses: number }>();

  /**
   * Returns the milliseconds until a run that failed because of this fault is due again, without counting the
   * attempt; null if the attempt counts.
   */
  waitAfter(lease: Lease, fault: unknown, random: () => number = Math.random): number | null {
    if (this.#runs.size >= MAX_RUNS) this.#runs.clear();
    const name = nameOf(lease);
    const { faults, losses } = this.#runs.get(name) ?? { faults: 0, losses: 0 };
    const met = { faults: faults + 1, losses: losses + (isLostConnection(fault) ? 1 : 0) };
    this.#runs.set(name, met);
    if (met.losses > FREE_LOSSES) return null;
    return Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** faults) * (0.5 + random() / 2);
  }

  forget(lease: Lease): void {
    this.#runs.delete(nameOf(lease));
  }
}

function nameOf({ function: fn, key, revision }: Lease): string {
  return `${fn}/${revision}/${key}`;
}
