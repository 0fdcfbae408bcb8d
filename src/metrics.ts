import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What `/metrics` shows; counters of this process since its start. */
export interface Metrics {
  readonly registry: Registry;
  readonly events: Counter<'outcome'>;
  readonly ignored: Counter<'why'>;
  readonly parked: Counter<'reason'>;
  readonly refused: Counter<'reason'>;
  readonly batchSize: Histogram;
  readonly completed: Counter;
  readonly runs: Counter<'function' | 'verdict'>;
  readonly runSeconds: Histogram<'function'>;
  readonly running: Gauge;
  readonly loopBlocked: Counter<'function'>;
  readonly strayErrors: Counter<'function' | 'kind'>;
  readonly overdue: Counter<'function'>;
  readonly outbox: Counter<'outcome'>;
  readonly records: Counter<'function'>;
  readonly recordsLost: Counter<'function'>;
  readonly chunkRecords: Histogram<'function'>;
  readonly chunkSeconds: Histogram<'function'>;
  readonly lag: Gauge<'function' | 'topic' | 'partition'>;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Counter<L>({ name, help, labelNames, registers });
  return {
    registry,
    events: counter('muster_events_total', 'Change events answered, by outcome.', ['outcome']),
    ignored: counter('muster_events_ignored_total', 'Events with nothing to file, by why.', [
      'why',
    ]),
    parked: counter('muster_events_parked_total', 'Events kept aside, by reason.', ['reason']),
    refused: counter('muster_events_refused_total', 'Requests answered 4xx or 5xx, by reason.', [
      'reason',
    ]),
    batchSize: new Histogram({
      name: 'muster_batch_events',
      help: 'Events that shared one statement.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    }),
    completed: new Counter({
      name: 'muster_sets_completed_total',
      help: 'Sets that became complete.',
      registers,
    }),
    runs: counter('muster_runs_total', 'Attempts of handlers, by verdict.', [
      'function',
      'verdict',
    ]),
    runSeconds: new Histogram({
      name: 'muster_run_seconds',
      help: 'Duration of attempts.',
      labelNames: ['function'],
      buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300],
      registers,
    }),
    running: new Gauge({
      name: 'muster_runs_in_progress',
      help: 'Handlers at work in this process.',
      registers,
    }),
    loopBlocked: counter(
      'muster_loop_blocked_seconds_total',
      'Time the event loop was blocked for over a second, by the functions whose handlers were at work.',
      ['function'],
    ),
    strayErrors: counter(
      'muster_stray_errors_total',
      'Errors that nobody handled, by kind, and by function where a handler caused them.',
      ['function', 'kind'],
    ),
    overdue: counter('muster_sets_overdue_total', 'Sets reported as overdue.', ['function']),
    outbox: counter('muster_outbox_total', 'Attempts to send an event, by outcome.', ['outcome']),
    records: counter('muster_records_total', 'Records read from Kafka and committed.', [
      'function',
    ]),
    recordsLost: counter(
      'muster_records_lost_total',
      'Records that a topic no longer held when they were to be read.',
      ['function'],
    ),
    chunkRecords: new Histogram({
      name: 'muster_chunk_records',
      help: 'Records that were committed together.',
      labelNames: ['function'],
      buckets: [1, 10, 100, 1_000, 10_000],
      registers,
    }),
    chunkSeconds: new Histogram({
      name: 'muster_chunk_seconds',
      help: 'Time it took to commit records together.',
      labelNames: ['function'],
      buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
      registers,
    }),
    lag: new Gauge({
      name: 'muster_lag_records',
      help: 'Records that are not committed yet, of the partitions of this process.',
      labelNames: ['function', 'topic', 'partition'],
      registers,
    }),
  };
}
