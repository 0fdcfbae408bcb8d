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

/** Events that make a loop start its next turn at once. */
interface Wakeups {
  /** A handler slot is free, and runs that found none may be due. */
  slotFree: [];
  /** The outbox has new events. */
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
  /** Refuses every event from now on, with the first reason that was given. */
  readonly close: (reason: Unavailable) => void;
  /** Whether intake is closed, so that long-running work must end. */
  readonly isClosed: () => boolean;
  /** Returns an error handler for repeated work, which logs the error and `what` failed. */
  readonly onError: (what: string) => (error: unknown) => void;
}

/** Creates what a process ingests and runs with. Nothing is started yet. */
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
  const positions = new LogPositions(database, (source, epoch) =>
    log.warn({ source, epoch }, 'the connector reads another server: a failover'),
  );
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
  let isReported = false; // the ingestor also closes itself, without a log line
  function close(reason: Unavailable): void {
    if (!isReported) log.warn({ reason: reason.reason }, reason.message);
    isReported = true;
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
    onResult(fn, { outcome, events }, seconds) {
      metrics.runs.inc({ function: fn, outcome });
      metrics.runSeconds.observe({ function: fn }, seconds);
      if (events > 0 || outcome === 'failed') wakeups.emit('outboxFilled');
    },
    onFree: () => wakeups.emit('slotFree'),
  });
}
