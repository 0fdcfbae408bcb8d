import type { Lease } from '../state/lease.ts';

/**
 * Whether the start of this run has to be recorded before its rows are loaded. The header of
 * claim-runs.sql has the reasons; the claim and the start must agree on it.
 */
export function mustRecordStart(lease: Lease, maxAttempts: number): boolean {
  return lease.lost > 0 || lease.attempt >= maxAttempts;
}

/** Whether this run may be what kills its process. One of them at a time is leased. */
export function isSuspect(lease: Lease): boolean {
  return lease.lost > 1;
}
