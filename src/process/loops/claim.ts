import { Loop } from '../../lib/loop.ts';
import type { Parts } from '../parts.ts';

/** Leases due runs to this worker whenever it has free slots. */
export function startClaiming({ config, runner, wakeups, isClosed, onError }: Parts): Loop {
  const loop = new Loop(
    config.CLAIM_SECONDS * 1000,
    async () => (isClosed() ? undefined : runner.claim()),
    onError('claiming runs'),
  );
  wakeups.on('slotFree', () => loop.poke());
  return loop;
}
