/** A run that is leased to this process. */
export interface Lease {
  readonly function: number;
  readonly key: string;
  readonly revision: number;
  readonly token: number;
  readonly attempt: number;
  /** Consecutive attempts that ended with their process; 1 also for a lost lease without an attempt. */
  readonly lost: number;
}

/** A lease as returned by the statements: function, key, revision, token, attempt, lost. */
export type LeaseTuple = readonly [number, string, number, number, number, number?];

export function toLease([fn, key, revision, token, attempt, lost = 0]: LeaseTuple): Lease {
  return { function: fn, key, revision, token, attempt, lost };
}
