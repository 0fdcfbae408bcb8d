/** A run this process holds. */
export interface Lease {
  readonly function: number;
  readonly key: string;
  readonly revision: number;
  readonly token: number;
  readonly attempt: number;
  /** Attempts in a row that ended with their process; 1 also where it was a lease without an attempt. */
  readonly lost: number;
}

/** A lease as the statements give it: function, key, revision, token, attempt, lost. */
export type LeaseTuple = readonly [number, string, number, number, number, number?];

export function toLease([fn, key, revision, token, attempt, lost = 0]: LeaseTuple): Lease {
  return { function: fn, key, revision, token, attempt, lost };
}
