import { Loop } from '../../lib/loop.ts';
import { fireDeadlines, pruneDeadlines } from '../../state/runs/deadlines.ts';
import { registrationsOf, retried, type EngineContext } from '../engine-context.ts';

/**
 * DeadlineGrace holds deadlines back after a start or an outage, because the missing event may still wait in
 * Kafka. It ends once intake has been idle for the grace period, or has been served for six times as long.
 */
export class DeadlineGrace {
  readonly #graceMs: number;
  readonly #lastEventAt: () => number;
  #servingSince = performance.now();

  constructor(graceMs: number, lastEventAt: () => number) {
    this.#graceMs = graceMs;
    this.#lastEventAt = lastEventAt;
  }

  restart(): void {
    this.#servingSince = performance.now();
  }

  get isOver(): boolean {
    const now = performance.now();
    const isIdle = now - Math.max(this.#lastEventAt(), this.#servingSince) >= this.#graceMs;
    return isIdle || now - this.#servingSince >= 6 * this.#graceMs;
  }
}

export interface DeadlineOptions {
  readonly grace: DeadlineGrace;
  readonly isClosed: () => boolean;
  /** The outbox has new events, which report overdue sets. */
  readonly onOutgoing: () => void;
  readonly firstMs: number;
}

/** Reports sets that are incomplete past their deadline, and deletes the deadlines of complete ones. */
export function startDeadlines(context: EngineContext, options: DeadlineOptions): Loop {
  const { config, database, log, metrics } = context;
  const ids = registrationsOf(context).map((each) => each.id);
  return new Loop(
    config.CLAIM_SECONDS * 1000,
    async () => {
      if (options.isClosed()) return false;
      const pruning = await pruneDeadlines(database, ids);
      if (!options.grace.isOver) return pruning;
      const { overdue, more } = await fireDeadlines(database, ids);
      for (const set of overdue) {
        metrics.overdue.inc({ function: set.function });
        log.warn(set, 'set is overdue');
      }
      if (overdue.length > 0) options.onOutgoing();
      return pruning || more;
    },
    retried(context, 'firing deadlines'),
    options.firstMs,
  );
}
