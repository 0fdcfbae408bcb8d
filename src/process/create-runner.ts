import { Runner } from '../runs/runner.ts';
import { Runs } from '../state/runs/runs.ts';
import { registrationsOf, type EngineContext } from './engine-context.ts';

export interface RunnerEvents {
  /** A slot is free, and runs that found none may be due. */
  readonly onFree: () => void;
  /** The outbox has new events. */
  readonly onOutgoing: () => void;
}

/** Creates the runner of a process, which counts and logs what its handlers do. */
export function createRunner(context: EngineContext, events: RunnerEvents): Runner {
  const { config, database, functions, log, metrics } = context;
  return new Runner({
    database,
    runs: new Runs(database, registrationsOf(context)),
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
    onVerdict(fn, verdict, seconds, outgoing) {
      metrics.runs.inc({ function: fn, verdict });
      metrics.runSeconds.observe({ function: fn }, seconds);
      // A failed run is reported by an event of Muster's own.
      if (outgoing > 0 || verdict === 'failed') events.onOutgoing();
    },
    onFree: events.onFree,
  });
}
