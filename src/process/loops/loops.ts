import type { Loop } from '../../lib/loop.ts';
import type { Sink } from '../../outbox/http-sink.ts';
import { startPublishing, type Publishing } from '../../outbox/publishing.ts';
import type { Runner } from '../../runs/runner.ts';
import type { ChangeIngestor } from '../../state/ingest/change-ingestor.ts';
import type { LogPositions } from '../../state/ingest/log-positions.ts';
import type { Store } from '../../state/ingest/store.ts';
import type { Unavailable } from '../../state/outcome.ts';
import { registrationsOf, retried, type EngineContext } from '../engine-context.ts';
import { startClaiming } from './claim.ts';
import { DeadlineGrace, startDeadlines } from './deadlines.ts';
import { startHeartbeat } from './heartbeat.ts';
import { startPurging } from './purge.ts';
import { startReEvaluation } from './re-evaluation.ts';

/**
 * Delay of each loop's first turn. They start one after the other so that they share a connection: if all of
 * them opened one at once, that would hold up the event or the run that the process was started for.
 */
const FIRST_MS = { publishing: 50, deadlines: 100, reEvaluation: 200, purging: 250 } as const;

/** The periodic work of an engine. */
export interface Loops {
  readonly claiming: Loop;
  readonly heartbeat: Loop;
  readonly deadlines: Loop;
  readonly reEvaluation: Loop;
  readonly purging: Loop;
  readonly publishing: Publishing;
}

export interface LoopParts {
  readonly runner: Runner;
  readonly store: Store;
  readonly positions: LogPositions;
  readonly ingestor: ChangeIngestor;
  /** Null if none is configured. */
  readonly sink: Sink | null;
  /** Ends intake, because a newer definition is registered. */
  readonly close: (reason: Unavailable) => void;
}

/** Starts the periodic work of an engine whose worker is registered. */
export function startLoops(context: EngineContext, parts: LoopParts): Loops {
  const { config, database, log, metrics } = context;
  const { runner, store, positions, ingestor, sink, close } = parts;
  const isClosed = () => ingestor.closed !== null;
  const grace = new DeadlineGrace(config.DEADLINE_GRACE_SECONDS * 1000, () => ingestor.lastEventAt);
  const publishing = startPublishing({
    database,
    served: registrationsOf(context),
    sink,
    worker: () => runner.worker,
    everyMs: config.CLAIM_SECONDS * 1000,
    firstMs: FIRST_MS.publishing,
    log,
    metrics,
    onError: retried(context, 'publishing'),
  });
  return {
    claiming: startClaiming(context, runner, isClosed),
    heartbeat: startHeartbeat(context, {
      runner,
      positions,
      onSuperseded: close,
      onOutage: () => grace.restart(),
    }),
    deadlines: startDeadlines(context, {
      grace,
      isClosed,
      onOutgoing: () => publishing.poke(),
      firstMs: FIRST_MS.deadlines,
    }),
    reEvaluation: startReEvaluation(context, store, isClosed, FIRST_MS.reEvaluation),
    purging: startPurging(context, isClosed, FIRST_MS.purging),
    publishing,
  };
}
