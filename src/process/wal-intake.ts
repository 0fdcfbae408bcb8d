import type { Config } from '../config/config.ts';
import { specify } from '../definitions/specification.ts';
import { isTablePart } from '../definitions/streams.ts';
import type { FunctionDefinition, Log } from '../function.ts';
import type { Count } from '../intake/http-error.ts';
import { EventIngestor } from '../intake/ingest.ts';
import { WalIntake } from '../intake/wal/intake.ts';
import type { ChangeIngestor } from '../state/ingest/change-ingestor.ts';
import type { Metrics } from './metrics.ts';

/** Maximum time for changes in progress at a stop: running handlers need their share of the grace period. */
const MAX_DRAIN_MS = 10_000;

export interface WalIntakeParts {
  readonly config: Config;
  readonly functions: readonly FunctionDefinition[];
  readonly ingestor: ChangeIngestor;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly count: Count;
}

/** What reads changes or records by itself. */
export interface Pull {
  /** Why nothing is read, or not everything; null if all is. */
  trouble(): string | null;
  stop(): Promise<void>;
}

/** Starts to read the tables of the functions from the source's log; does nothing if none has a table. */
export function startWalIntake({
  config,
  functions,
  ingestor,
  log,
  metrics,
  count,
}: WalIntakeParts): Pull {
  const tables = columnsOf(functions);
  if (tables.size === 0) {
    log.warn({}, 'no function that is served here has a part of a table: the source is not read');
    return { trouble: () => null, stop: () => Promise.resolve() };
  }
  for (const kind of ['change', 'read']) metrics.walChanges.inc({ kind }, 0);
  const intake = new WalIntake({
    url: config.SOURCE_DATABASE_URL!,
    slot: config.WAL_SLOT,
    // A connector has another name: its topic.prefix has no colon.
    source: `wal:${config.WAL_SLOT}`,
    functions: functions.map(({ name }) => name),
    tables,
    ingestor: new EventIngestor(ingestor, count),
    state: ingestor,
    // Half of the memory for events: the other half is for those that are posted, and for statements in progress.
    queueBytes: (config.QUEUE_MIB * 1024 * 1024) / 2,
    drainMs: Math.min(config.DRAIN_SECONDS * 1000, MAX_DRAIN_MS),
    log,
    closed: () => ingestor.closed?.message ?? null,
    onReading(isReading) {
      metrics.walReading.set(isReading ? 1 : 0);
      if (isReading) return;
      metrics.walBehind.set(0);
      metrics.walRetained.set(0);
    },
    onDelivered: (kind, n) => metrics.walChanges.inc({ kind }, n),
    onProgress({ retained, behindSeconds }) {
      metrics.walRetained.set(retained);
      metrics.walBehind.set(behindSeconds);
    },
    onSlotLost: () => metrics.walSlotsLost.inc(),
  });
  return { trouble: () => intake.trouble, stop: () => intake.stop() };
}

/** Returns the columns that parts name, by table. */
function columnsOf(functions: readonly FunctionDefinition[]): Map<string, Set<string>> {
  const tables = new Map<string, Set<string>>();
  for (const part of functions.flatMap((each) => specify(each).parts)) {
    if (!isTablePart(part)) continue;
    const columns = tables.get(part.table) ?? new Set<string>();
    for (const column of [...part.columns, ...part.key, ...part.id, ...Object.keys(part.where)]) {
      columns.add(column);
    }
    tables.set(part.table, columns);
  }
  return tables;
}
