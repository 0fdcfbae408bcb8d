import { Loop } from '../../lib/loop.ts';
import { purge } from '../../state/purge.ts';
import { purgeParked } from '../../state/purge-parked.ts';
import { retried, type EngineContext } from '../engine-context.ts';

/** Minimum time between two purges of a function, over all processes. */
const PURGE_EVERY_SECONDS = 3600;
/** One process purges at a time; each checks this often whether a purge is due. */
const CHECK_EVERY_MS = 60_000;

/** Deletes what is no longer needed: rows of done sets, tombstones, done markers, and old parked events. */
export function startPurging(
  context: EngineContext,
  isClosed: () => boolean,
  firstMs: number,
): Loop {
  const { config, database, functions, log, metrics } = context;
  return new Loop(
    CHECK_EVERY_MS,
    async () => {
      const purged = await purge(database, functions, {
        tombstoneSeconds: config.TOMBSTONE_DAYS * 86_400,
        everySeconds: PURGE_EVERY_SECONDS,
        stopped: isClosed,
      });
      if (purged.sets + purged.members > 0) log.info(purged, 'purged');
      const parked = await purgeParked(database, config.PARKED_DAYS * 86_400, isClosed);
      metrics.parkedPurged.inc(parked);
      if (parked > 0) {
        const fields = { events: parked, days: config.PARKED_DAYS };
        log.warn(fields, 'deleted events that were parked longer ago than PARKED_DAYS');
      }
    },
    retried(context, 'purging'),
    firstMs,
  );
}
