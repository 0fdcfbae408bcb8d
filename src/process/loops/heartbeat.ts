import { Loop } from '../../lib/loop.ts';
import type { Runner } from '../../runs/runner.ts';
import type { LogPositions } from '../../state/ingest/log-positions.ts';
import { Unavailable } from '../../state/outcome.ts';
import { requireCurrent } from '../../state/registration/current.ts';
import { registrationsOf, retried, type EngineContext } from '../engine-context.ts';

export interface HeartbeatOptions {
  readonly runner: Runner;
  readonly positions: LogPositions;
  /** A newer definition of a function is registered. */
  readonly onSuperseded: (reason: Unavailable) => void;
  /** The database did not answer. */
  readonly onOutage: () => void;
}

/**
 * Renews the lease of this process three times per lease, exchanges log positions with the other processes,
 * and checks that its definitions are still the registered ones.
 */
export function startHeartbeat(context: EngineContext, options: HeartbeatOptions): Loop {
  const { runner, positions, onSuperseded, onOutage } = options;
  const served = registrationsOf(context);
  const everyMs = (context.config.LEASE_SECONDS * 1000) / 3;
  return new Loop(
    everyMs,
    async () => {
      try {
        await runner.renew();
        await positions.exchange();
        await requireCurrent(context.database, served);
      } catch (error) {
        if (error instanceof Unavailable && error.reason === 'superseded') {
          return onSuperseded(error);
        }
        onOutage();
        throw error;
      }
    },
    retried(context, 'renewing leases'),
    everyMs,
  );
}
