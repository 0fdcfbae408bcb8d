import type { Lease } from '../state/lease.ts';

/**
 * Whether the start of this run must be recorded before its rows are loaded. See the header of claim-runs.sql;
 * the claim and the start must agree on it.
 */
export function mustRecordStart(lease: Lease, maxAttempts: number): boolean {
  return lease.lost > 0 || lease.attempt >= maxAttempts;
}

/** Whether this run may share a call with others, if its function has batches; see `batchFor`. */
export function mayShareCall(lease: Lease): boolean {
  return lease.attempt === 1 && lease.lost === 0;
}

/** Whether this run is suspected of killing its process. A process leases one suspect at a time. */
export function isSuspect(lease: Lease): boolean {
  return lease.lost > 1;
}
