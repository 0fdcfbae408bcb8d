import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Ignored } from '../intake/debezium/read-change.ts';
import { REFUSAL_REASONS } from '../intake/http-error.ts';
import type { AttemptOutcome } from '../runs/attempt-result.ts';
import type { ParkReason } from '../state/outcome.ts';
import { NameCounter } from './name-counter.ts';

/** The metrics of `/metrics`. Counters count from the start of the process. */
export interface Metrics {
  readonly registry: Registry;
  readonly events: Counter<'outcome'>;
  readonly ignored: Counter<'why'>;
  readonly unwantedTypes: NameCounter<'type'>;
  readonly unwantedTables: NameCounter<'table'>;
  readonly parked: Counter<'reason'>;
  readonly parkedPurged: Counter;
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
  readonly walChanges: Counter<'kind'>;
  readonly walReading: Gauge;
  readonly walBehind: Gauge;
  readonly walRetained: Gauge;
  readonly walSlotsLost: Counter;
}

/** Functions whose counters exist from the start. */
export interface CountedFunctions {
  /** Functions that run a handler for complete sets. */
  readonly sets: readonly string[];
  /** Functions that read their records from Kafka. */
  readonly pulled: readonly string[];
}

// Objects rather than lists, so that the compiler reports a missing value.
const PARKED: Readonly<Record<ParkReason, null>> = {
  'not-a-change': null,
  'unsupported-source': null,
  'incomplete-change': null,
  'unavailable-column': null,
  'bad-key': null,
  'bad-event': null,
  'position-ahead': null,
  'position-restarted': null,
  'bad-value': null,
  'not-a-record': null,
  refused: null,
};
const IGNORED: Readonly<Record<Ignored['why'] | 'ping', null>> = {
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
 * Creates the metrics. Counters whose labels are known start at 0: `rate` and `increase` do not see the first
 * increment of a counter that did not exist before, so an alert on a rare refusal would miss the one that
 * matters.
 */
export function createMetrics(
  { sets, pulled }: CountedFunctions = { sets: [], pulled: [] },
): Metrics {
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
  return {
    registry,
    ...intakeMetrics(registry),
    ...runMetrics(registry),
    ...outgoingMetrics(registry),
    ...kafkaMetrics(registry),
    ...walMetrics(registry),
  };
}

function intakeMetrics(registry: Registry) {
  const registers = [registry];
  return {
    events: counter(registry, 'muster_events_total', 'Change events answered, by outcome.', [
      'outcome',
    ]),
    ignored: counter(
      registry,
      'muster_events_ignored_total',
      'Events that change nothing, by kind.',
      ['why'],
    ),
    unwantedTypes: new NameCounter(
      counter(
        registry,
        'muster_events_unwanted_type_total',
        'Events of types that no function names; the first 50 types by name, the others together.',
        ['type'],
      ),
      'type',
    ),
    unwantedTables: new NameCounter(
      counter(
        registry,
        'muster_events_unwanted_table_total',
        'Changes of tables that no function names; the first 50 tables by name, the others together.',
        ['table'],
      ),
      'table',
    ),
    parked: counter(registry, 'muster_events_parked_total', 'Events parked, by reason.', [
      'reason',
    ]),
    parkedPurged: counter(
      registry,
      'muster_parked_purged_total',
      'Parked events deleted because they were parked longer ago than PARKED_DAYS.',
      [],
    ),
    refused: counter(
      registry,
      'muster_events_refused_total',
      'Requests answered with 4xx or 5xx, by reason.',
      ['reason'],
    ),
    batchSize: new Histogram({
      name: 'muster_batch_events',
      help: 'Events ingested by one statement.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    }),
    completed: counter(registry, 'muster_sets_completed_total', 'Sets that became complete.', [
      'function',
    ]),
    overdue: counter(registry, 'muster_sets_overdue_total', 'Sets reported as overdue.', [
      'function',
    ]),
  };
}

function runMetrics(registry: Registry) {
  const registers = [registry];
  return {
    runs: counter(registry, 'muster_runs_total', 'Attempts of handlers, by outcome.', [
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
      help: 'Handlers running in this process.',
      registers,
    }),
    loopBlocked: counter(
      registry,
      'muster_loop_blocked_seconds_total',
      'Time for which the event loop was blocked for over a second, by the functions whose handlers ran.',
      ['function'],
    ),
    strayErrors: counter(
      registry,
      'muster_stray_errors_total',
      'Unhandled errors by kind, and by function if a handler caused them.',
      ['function', 'kind'],
    ),
  };
}

function outgoingMetrics(registry: Registry) {
  return {
    outbox: counter(registry, 'muster_outbox_total', 'Attempts to send an event, by outcome.', [
      'outcome',
    ]),
    sinkMissing: new Gauge({
      name: 'muster_sink_missing',
      help: '1 while no sink is configured and outgoing events wait.',
      registers: [registry],
    }),
  };
}

function kafkaMetrics(registry: Registry) {
  const registers = [registry];
  return {
    records: counter(registry, 'muster_records_total', 'Records read from Kafka and committed.', [
      'function',
    ]),
    recordsLost: counter(
      registry,
      'muster_records_lost_total',
      'Records that the topic had deleted before they were read.',
      ['function'],
    ),
    partitionsGone: counter(
      registry,
      'muster_partitions_gone_total',
      'Partitions forgotten because their topic was recreated with fewer of them.',
      ['function'],
    ),
    chunkRecords: new Histogram({
      name: 'muster_chunk_records',
      help: 'Records committed in one transaction.',
      labelNames: ['function'],
      buckets: [1, 10, 100, 1_000, 10_000],
      registers,
    }),
    chunkSeconds: new Histogram({
      name: 'muster_chunk_seconds',
      help: 'Time to commit the records of one transaction.',
      labelNames: ['function'],
      buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
      registers,
    }),
    lag: new Gauge({
      name: 'muster_lag_records',
      help: 'Records not yet committed in the partitions of this process.',
      labelNames: ['function', 'topic', 'partition'],
      registers,
    }),
  };
}

function walMetrics(registry: Registry) {
  const registers = [registry];
  return {
    walChanges: counter(
      registry,
      'muster_wal_changes_total',
      "Changes from the source's log, and reads of rows by snapshots, that were ingested or parked.",
      ['kind'],
    ),
    walReading: new Gauge({
      name: 'muster_wal_reading',
      help: '1 in the process that reads the replication slot.',
      registers,
    }),
    walBehind: new Gauge({
      name: 'muster_wal_behind_seconds',
      help: 'Age of the oldest transaction received from the slot and not ingested; 0 in a process that does not read it.',
      registers,
    }),
    walRetained: new Gauge({
      name: 'muster_wal_retained_bytes',
      help: 'Log that the source retains for the slot; 0 in a process that does not read it.',
      registers,
    }),
    walSlotsLost: counter(
      registry,
      'muster_wal_slots_lost_total',
      'Times that a slot was lost or dropped, so that all rows were read again.',
      [],
    ),
  };
}

function counter<L extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: L[],
): Counter<L> {
  return new Counter<L>({ name, help, labelNames, registers: [registry] });
}
