/** How an attempt ended; `again`: it failed, and the run is due again after its backoff. */
export type AttemptOutcome = 'done' | 'failed' | 'again' | 'released' | 'fenced';

export interface AttemptResult {
  readonly outcome: AttemptOutcome;
  /** Events that were put into the outbox. */
  readonly events: number;
  /** Low-cardinality type of the error that failed the attempt; null if it did not fail. */
  readonly errorType: string | null;
}

/** How a failed attempt is handled; `fault`: the database caused the failure, and the attempt does not count. */
export type AttemptFailure =
  | { readonly outcome: 'fenced' | 'released' }
  | { readonly outcome: 'fault'; readonly fault: unknown; readonly waitMs: number }
  | { readonly outcome: 'failed' | 'again'; readonly waitMs: number | null };
