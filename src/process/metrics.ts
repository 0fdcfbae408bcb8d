import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Ignored } from '../intake/debezium/read-change.ts';
import { REFUSAL_REASONS } from '../intake/http-error.ts';
import type { AttemptOutcome } from '../runs/attempt-result.ts';
import type { ParkReason } from '../state/outcome.ts';

/** What `/metrics` shows; counters of this process since its start. */
export interface Metrics {
  readonly registry: Registry;
  readonly events: Counter<'outcome'>;
  readonly ignored: Counter<'why'>;
  readonly parked: Counter<'reason'>;
  readonly refused: Counter<'reason'>;
  readonly batchSize: Histogram;
  readonly completed: Counter<'function'>;
  readonly runs: Counter<'function' | 'outcome'>;
  readonly runSeconds: Histogram<'function'>;
  readonly running: Gauge;
  readonly loopBlocked: Counter<'function'>;
  readonly strayErrors: Counter<'function' | 'kind'>;
  readonly overdue: Counter<'function'>;
  readonly outbox: Counter<'outcome'>;
  readonly sinkMissing: Gauge;
  readonly records: Counter<'function'>;
  readonly recordsLost: Counter<'function'>;
  readonly partitionsGone: Counter<'function'>;
  readonly chunkRecords: Histogram<'function'>;
  readonly chunkSeconds: Histogram<'function'>;
  readonly lag: Gauge<'function' | 'topic' | 'partition'>;
}

/** Functions whose counters are shown from the start. */
export interface Counted {
  /** Functions of sets. */
  readonly sets: readonly string[];
  /** Functions whose records are read from Kafka. */
  readonly pulled: readonly string[];
}

// As objects, so that the compiler names a value that is missing here.
const PARKED: Readonly<Record<ParkReason, null>> = {
  'not-a-change': null,
  'unsupported-source': null,
  'incomplete-change': null,
  'unavailable-column': null,
  'bad-key': null,
  'position-ahead': null,
  'position-restarted': null,
  'bad-value': null,
  'not-a-record': null,
  refused: null,
};
const IGNORED: Readonly<Record<Ignored['why'] | 'ping', null>> = {
  'other-type': null,
  tombstone: null,
  heartbeat: null,
  transaction: null,
  message: null,
  ping: null,
};
const ATTEMPT_OUTCOMES: Readonly<Record<AttemptOutcome, null>> = {
  again: null,
  done: null,
  failed: null,
  fenced: null,
  released: null,
};
const DELIVERY_OUTCOMES: Readonly<Record<'sent' | 'failed' | 'again', null>> = {
  sent: null,
  failed: null,
  again: null,
};

/**
 * Counters whose labels are known begin at 0: `rate` and `increase` see no first increment of one that
 * was absent before it, and an alert on a rare refusal would miss the one that matters.
 */
export function createMetrics({ sets, pulled }: Counted = { sets: [], pulled: [] }): Metrics {
  const metrics = defineMetrics();
  for (const outcome of ['ingested', 'unwanted']) metrics.events.inc({ outcome }, 0);
  for (const why of Object.keys(IGNORED)) metrics.ignored.inc({ why }, 0);
  for (const reason of Object.keys(PARKED)) metrics.parked.inc({ reason }, 0);
  for (const reason of REFUSAL_REASONS) metrics.refused.inc({ reason }, 0);
  for (const outcome of Object.keys(DELIVERY_OUTCOMES)) metrics.outbox.inc({ outcome }, 0);
  for (const name of sets) {
    metrics.completed.inc({ function: name }, 0);
    metrics.overdue.inc({ function: name }, 0);
    metrics.runSeconds.zero({ function: name });
    for (const outcome of Object.keys(ATTEMPT_OUTCOMES)) {
      metrics.runs.inc({ function: name, outcome }, 0);
    }
  }
  for (const name of pulled) {
    metrics.records.inc({ function: name }, 0);
    metrics.recordsLost.inc({ function: name }, 0);
    metrics.chunkRecords.zero({ function: name });
    metrics.chunkSeconds.zero({ function: name });
  }
  return metrics;
}

function defineMetrics(): Metrics {
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
    completed: counter('muster_sets_completed_total', 'Sets that became complete.', ['function']),
    runs: counter('muster_runs_total', 'Attempts of handlers, by outcome.', [
      'function',
      'outcome',
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
    sinkMissing: new Gauge({
      name: 'muster_sink_missing',
      help: '1 while no sink is configured, so that outgoing events wait.',
      registers,
    }),
    records: counter('muster_records_total', 'Records read from Kafka and committed.', [
      'function',
    ]),
    recordsLost: counter(
      'muster_records_lost_total',
      'Records that a topic no longer held when they were to be read.',
      ['function'],
    ),
    partitionsGone: counter(
      'muster_partitions_gone_total',
      'Partitions that were forgotten because their topic was made anew with fewer of them.',
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
