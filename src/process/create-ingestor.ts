import type { Runner } from '../runs/runner.ts';
import { Batcher } from '../state/ingest/batcher.ts';
import { ChangeIngestor } from '../state/ingest/change-ingestor.ts';
import type { LogPositions } from '../state/ingest/log-positions.ts';
import type { Store } from '../state/ingest/store.ts';
import type { Unavailable } from '../state/outcome.ts';
import { registrationsOf, type EngineContext } from './engine-context.ts';

/**
 * Creates the ingestor of a process, whose batches lease the runs they create to `runner`. `close` is called
 * when a newer definition of a function is registered.
 */
export function createIngestor(
  context: EngineContext,
  store: Store,
  positions: LogPositions,
  runner: Runner,
  close: (reason: Unavailable) => void,
): ChangeIngestor {
  const { config, database, metrics } = context;
  const served = registrationsOf(context);
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
    onSuperseded: close,
  });
  return new ChangeIngestor(database, store, batcher, positions, served);
}
