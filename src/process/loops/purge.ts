import { Loop } from '../../lib/loop.ts';
import { purge } from '../../state/purge.ts';
import { retried, type EngineContext } from '../engine-context.ts';

/** Minimum time between two purges of a function, over all processes. */
const PURGE_EVERY_SECONDS = 3600;
/** One process purges at a time; each checks this often whether a purge is due. */
const CHECK_EVERY_MS = 60_000;

/** Deletes what is no longer needed: rows of done sets, tombstones, and done markers. */
export function startPurging(
  context: EngineContext,
  isClosed: () => boolean,
  firstMs: number,
): Loop {
  const { config, database, functions, log } = context;
  return new Loop(
    CHECK_EVERY_MS,
    async () => {
      const purged = await purge(database, functions, {
        tombstoneSeconds: config.TOMBSTONE_DAYS * 86_400,
        everySeconds: PURGE_EVERY_SECONDS,
        stopped: isClosed,
      });
      if (purged.sets + purged.members > 0) log.info(purged, 'purged');
    },
    retried(context, 'purging'),
    firstMs,
  );
}
