import { keyHash } from '../../src/state/key-hash.ts';
import type { Lease } from '../../src/state/lease.ts';

/** The first lease of a run that no statement has given. */
export function leaseOf(key: string, fn = 1): Lease {
  return {
    function: fn,
    key,
    keyHash: keyHash(key),
    revision: 1,
    token: 1,
    attempt: 1,
    lost: 0,
    late: 0,
    since: new Date().toISOString(),
    claim: '00000000-0000-0000-0000-000000000000',
  };
}
