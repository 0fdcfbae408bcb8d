import { EventEmitter } from 'node:events';
import type { Config } from '../config/config.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import type { Log } from '../function.ts';
import { Runner } from '../runs/runner.ts';
import type { Database } from '../state/database/database.ts';
import { Batcher } from '../state/ingest/batcher.ts';
import { ChangeIngestor } from '../state/ingest/change-ingestor.ts';
import { LogPositions } from '../state/ingest/log-positions.ts';
import { Store } from '../state/ingest/store.ts';
import type { Unavailable } from '../state/outcome.ts';
import { Runs } from '../state/runs/runs.ts';
import type { Metrics } from './metrics.ts';
import type { ServedFunction } from './register-functions.ts';

/** What should make a loop look at its work before its next turn is due. */
interface Wakeups {
  slotFree: [];
  outboxFilled: [];
}

/** What the loops of one process share. */
export interface Parts {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly database: Database;
  readonly functions: readonly ServedFunction[];
  readonly served: readonly RegisteredFunction[];
  readonly runner: Runner;
  readonly store: Store;
  readonly positions: LogPositions;
  readonly ingestor: ChangeIngestor;
  readonly wakeups: EventEmitter<Wakeups>;
  /** Refuses every event from now on; the first reason is the one that is given. */
  readonly close: (reason: Unavailable) => void;
  /** Is intake closed, so that a long piece of work should end? */
  readonly isClosed: () => boolean;
  /** Logs that a piece of work failed and will be tried again. */
  readonly onError: (what: string) => (error: unknown) => void;
}

/** Builds what a process ingests and runs with. Nothing of it is at work yet. */
export function createParts(
  database: Database,
  functions: readonly ServedFunction[],
  config: Config,
  log: Log,
  metrics: Metrics,
): Parts {
  const served = functions.map((each) => each.served);
  const wakeups = new EventEmitter<Wakeups>();
  const runner = createRunner(database, functions, config, log, metrics, wakeups);
  const store = new Store(database, served, () => runner.worker);
  const positions = new LogPositions(database);
  const nameOf = new Map(served.map(({ id, specification }) => [id, specification.name]));
  const batcher = new Batcher(store, runner, {
    writers: config.WRITERS,
    maxBytes: config.QUEUE_MIB * 1024 * 1024,
    onIngested(ingested, events) {
      metrics.batchSize.observe(events);
      let completed = 0;
      for (const [id, sets] of ingested.completed) {
        completed += sets;
        metrics.completed.inc({ function: nameOf.get(id)! }, sets);
      }
      if (completed > ingested.leases.length) runner.expectBacklog();
    },
    onSuperseded: (error) => close(error),
  });
  const ingestor = new ChangeIngestor(database, store, batcher, positions, served);
  function close(reason: Unavailable): void {
    if (ingestor.closed === null) log.warn({ reason: reason.reason }, reason.message);
    ingestor.close(reason);
  }
  return {
    config,
    log,
    metrics,
    database,
    functions,
    served,
    runner,
    store,
    positions,
    ingestor,
    wakeups,
    close,
    isClosed: () => ingestor.closed !== null,
    onError: (what) => (error) =>
      log.warn(
        { error: error instanceof Error ? error.message : String(error) },
        `${what} failed, trying again`,
      ),
  };
}

function createRunner(
  database: Database,
  functions: readonly ServedFunction[],
  config: Config,
  log: Log,
  metrics: Metrics,
  wakeups: EventEmitter<Wakeups>,
): Runner {
  const served = functions.map((each) => each.served);
  return new Runner({
    database,
    runs: new Runs(database, served),
    functions,
    slots: config.CONCURRENCY,
    leaseSeconds: config.LEASE_SECONDS,
    url: config.DATABASE_URL,
    maxSetBytes: config.SET_LIMIT_MIB * 1024 * 1024,
    log,
    onBlocked(blockers, seconds) {
      for (const fn of blockers) metrics.loopBlocked.inc({ function: fn }, seconds);
      log.warn({ functions: blockers, seconds }, 'a handler blocked the event loop');
    },
    onVerdict(fn, verdict, seconds, events) {
      metrics.runs.inc({ function: fn, verdict });
      metrics.runSeconds.observe({ function: fn }, seconds);
      if (events > 0 || verdict === 'failed') wakeups.emit('outboxFilled');
    },
    onFree: () => wakeups.emit('slotFree'),
  });
}
