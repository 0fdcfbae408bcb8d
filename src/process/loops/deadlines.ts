import { Loop } from '../../lib/loop.ts';
import { fireDeadlines, pruneDeadlines } from '../../state/runs/deadlines.ts';
import type { Parts } from '../parts.ts';

/** Reports overdue sets, and deletes the deadlines of sets that became complete in time. */
export function startDeadlines(parts: Parts, servingSince: () => number, firstMs: number): Loop {
  const { config, database, served, metrics, log, wakeups, isClosed, onError } = parts;
  const ids = served.map((each) => each.id);
  return new Loop(
    config.CLAIM_SECONDS * 1000,
    async () => {
      if (isClosed()) return false;
      const pruning = await pruneDeadlines(database, ids);
      if (areHeldBack(parts, servingSince())) return pruning;
      const { overdue, more } = await fireDeadlines(database, ids);
      for (const set of overdue) {
        metrics.overdue.inc({ function: set.function });
        log.warn(set, 'set is overdue');
      }
      if (overdue.length > 0) wakeups.emit('outboxFilled');
      return pruning || more;
    },
    onError('firing deadlines'),
    firstMs,
  );
}

/**
 * After an outage the missing event may still wait in Kafka, so deadlines do not fire before intake was idle
 * for the grace period, or this worker has served for six times as long.
 */
function areHeldBack({ config, ingestor }: Parts, servingSince: number): boolean {
  const graceMs = config.DEADLINE_GRACE_SECONDS * 1000;
  const now = performance.now();
  const isIdle = now - Math.max(ingestor.lastEventAt, servingSince) >= graceMs;
  return !isIdle && now - servingSince < 6 * graceMs;
}
