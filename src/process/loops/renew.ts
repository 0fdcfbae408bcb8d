import { Loop } from '../../lib/loop.ts';
import { Unavailable } from '../../state/outcome.ts';
import { requireCurrent } from '../../state/registration/current.ts';
import type { Parts } from '../parts.ts';

/** The loop that renews this worker's lease, and the time since which it has not failed. */
export interface Renewing {
  readonly loop: Loop;
  /** By `performance.now()`. */
  readonly servingSince: () => number;
}

/**
 * Renews the worker's lease, exchanges log positions with other workers, and closes intake once a newer
 * definition is registered.
 */
export function startRenewing(parts: Parts): Renewing {
  const { config, database, runner, positions, served, close, onError } = parts;
  const everyMs = (config.LEASE_SECONDS * 1000) / 3;
  let servingSince = performance.now();
  const loop = new Loop(
    everyMs,
    async () => {
      try {
        await runner.renew();
        await positions.exchange();
        await requireCurrent(database, served);
      } catch (error) {
        if (error instanceof Unavailable && error.reason === 'superseded') return close(error);
        servingSince = performance.now();
        throw error;
      }
    },
    onError('renewing leases'),
    everyMs,
  );
  return { loop, servingSince: () => servingSince };
}
