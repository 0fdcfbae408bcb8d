/** A run that is leased to this process. */
export interface Lease {
  readonly function: number;
  readonly key: string;
  /** As the database returns it; see key-hash.ts. */
  readonly keyHash: string;
  readonly revision: number;
  readonly token: number;
  readonly attempt: number;
  /** As in `muster.sets.lost`. */
  readonly lost: number;
  /** Late changes of its set that were counted before this lease. */
  readonly late: number;
  /** Names the leases that one statement gave. */
  readonly claim: string;
  /** When it began, by the database's clock, as text. */
  readonly since: string;
}

/** How many new runs a statement may lease to this process. */
export interface Capacity {
  /** Runs that start at once. */
  readonly slots: number;
  /** Runs beyond them, which wait for a slot of this process. */
  readonly ahead: number;
  /** Ids of functions whose runs never start at once, because they wait for others of their batch. */
  readonly batched: readonly number[];
}

export const NO_CAPACITY: Capacity = { slots: 0, ahead: 0, batched: [] };

/** A lease as returned by the statements. */
export type LeaseTuple = readonly [
  fn: number,
  key: string,
  revision: number,
  token: number,
  attempt: number,
  lost: number,
  keyHash: string,
  claim: string,
  late: number,
  since: string,
];

export function toLease(tuple: LeaseTuple): Lease {
  const [fn, key, revision, token, attempt, lost, keyHash, claim, late, since] = tuple;
  return { function: fn, key, keyHash, revision, token, attempt, lost, late, claim, since };
}
