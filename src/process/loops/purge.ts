import { Loop } from '../../lib/loop.ts';
import { purgeIgnored } from '../../state/ingest/ignored-streams.ts';
import { purgeParked } from '../../state/purge-parked.ts';
import { purge } from '../../state/purge.ts';
import type { Parts } from '../parts.ts';

/** Minimum time between two purges of a function, over all processes. */
const PURGE_EVERY_SECONDS = 3600;
/** One process purges at a time; each checks this often whether a purge is due. */
const CHECK_EVERY_MS = 60_000;
const DAY_SECONDS = 86_400;
/** Age at which the counts of ignored events are deleted, counted from the last of these. */
const IGNORED_DAYS = 7;

/** Deletes what is kept for a limited time: done sets, old versions of rows, parked events. */
export function startPurging(parts: Parts, firstMs: number): Loop {
  const { config, database, functions, metrics, log, isClosed, onError } = parts;
  return new Loop(
    CHECK_EVERY_MS,
    async () => {
      const purged = await purge(database, functions, {
        tombstoneSeconds: config.TOMBSTONE_DAYS * DAY_SECONDS,
        everySeconds: PURGE_EVERY_SECONDS,
        stopped: isClosed,
      });
      if (purged.sets + purged.members > 0) log.info(purged, 'purged');
      const events = await purgeParked(database, config.PARKED_DAYS * DAY_SECONDS, isClosed);
      metrics.parkedPurged.inc(events);
      await purgeIgnored(database, IGNORED_DAYS * DAY_SECONDS);
      if (events > 0) {
        const fields = { events, days: config.PARKED_DAYS };
        log.warn(fields, 'deleted events that were parked longer ago than PARKED_DAYS');
      }
    },
    onError('purging'),
    firstMs,
  );
}
