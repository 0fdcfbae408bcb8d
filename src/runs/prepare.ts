import type { Database } from '../state/database/database.ts';
import { loadMembers, measureSet, type StoredMember } from '../state/runs/load-members.ts';
import type { Lease } from '../state/lease.ts';
import type { Coalescer } from './coalescer.ts';
import type { Waiting } from './run-queue.ts';
import { LOAD_BYTES } from './loader.ts';
import { LeaseLost, SetTooLarge } from './reasons.ts';

/** The run has to wait until no other of its size is at work here. */
export const LARGE = Symbol('large');

export interface PrepareOptions {
  readonly database: Database;
  readonly starts: Coalescer<Lease>;
  readonly maxBytes: number;
}

/**
 * Must the start of this run be recorded first? The header of claim-runs.sql has the reasons; whoever
 * claims and whoever starts must agree.
 */
export function isCareful(lease: Lease, attempts: number): boolean {
  return lease.lost > 0 || lease.attempt >= attempts;
}

/** May this run be what kills its process? One at a time is leased, and the next when it has ended. */
export function isSuspect(lease: Lease): boolean {
  return lease.lost > 1;
}

/**
 * Gets a run with a slot ready whose rows are not loaded: measures its set, so that nothing is loaded of
 * one that is too large, records its start, because the load may be what kills the process, and loads.
 */
export async function prepare(
  { lease, isLarge }: Waiting,
  { database, starts, maxBytes }: PrepareOptions,
): Promise<readonly StoredMember[] | typeof LARGE> {
  if (!isLarge) {
    const { rows, bytes } = await measureSet(database, lease);
    if (bytes > maxBytes) throw tooLarge(`${rows} rows with ${inMib(bytes)} MiB`, maxBytes);
    if (bytes > LOAD_BYTES) return LARGE;
  }
  if (!(await starts.add(lease))) throw new LeaseLost('the lease of this run was lost');
  // some more than was measured: rows may have come in between
  const [set] = await loadMembers(database, [lease], 1.25 * maxBytes);
  if (set == null) throw tooLarge('rows that have become more', maxBytes);
  return set.members;
}

function tooLarge(what: string, maxBytes: number): SetTooLarge {
  return new SetTooLarge(
    `the set has ${what} of kept columns; a handler is given at most ${inMib(maxBytes)} MiB (SET_LIMIT_MIB)`,
  );
}

function inMib(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1).replace(/\.0$/, '');
}
