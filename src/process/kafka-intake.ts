import type { Config } from '../config/config.ts';
import type { Log } from '../function.ts';
import { ChangeHandler } from '../intake/kafka/change-handler.ts';
import type { RecordHandler } from '../intake/kafka/record-handler.ts';
import { KafkaIntake } from '../intake/kafka/intake.ts';
import { ProjectionHandler } from '../intake/kafka/projection-handler.ts';
import type { Count } from '../intake/http-error.ts';
import { EventIngestor } from '../intake/ingest.ts';
import { connectKafka } from '../kafka/client.ts';
import type { Metrics } from './metrics.ts';
import type { Schemas } from '../schemas/schemas.ts';
import type { Subscription } from './subscriptions.ts';
import type { Projections } from './projections.ts';
import type { ChangeIngestor } from '../state/ingest/change-ingestor.ts';
import { LostRecords } from '../state/projections/positions.ts';

/** Maximum time for chunks in progress at a stop: running handlers need their share of the grace period. */
const MAX_DRAIN_MS = 10_000;

/** The consumers of a process, one for each function. */
export interface KafkaIntakes {
  /** Why records, or some of them, are not read; null if they are. */
  trouble(): string | null;
  /** Finishes the chunks in progress and leaves the consumer groups. */
  stop(): Promise<void>;
}

export interface KafkaIntakeOptions {
  readonly config: Config;
  readonly subscriptions: readonly Subscription[];
  readonly ingestor: ChangeIngestor;
  readonly projections: Projections;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly count: Count;
  readonly schemas: Schemas | null;
}

/**
 * Starts to read the topics of each function, as a member of a consumer group per function. Throws
 * `ConfigError` if no client can be created from the configuration.
 */
export function startKafkaIntakes(options: KafkaIntakeOptions): KafkaIntakes {
  const { config, subscriptions, log, metrics } = options;
  const connect = () => connectKafka(config, log);
  connect(); // throws here rather than at the first attempt to read
  const intakes = subscriptions.map(
    (subscription) =>
      new KafkaIntake({
        connect,
        handler: handlerOf(subscription, options),
        group: config.KAFKA_GROUP ?? `${config.KAFKA_GROUP_PREFIX}${subscription.name}`,
        queueBytes: (config.QUEUE_MIB * 1024 * 1024) / subscriptions.length,
        sessionTimeoutMs: config.LEASE_SECONDS * 1000,
        drainMs: Math.min(config.DRAIN_SECONDS * 1000, MAX_DRAIN_MS),
        log,
        onTaken({ records }, seconds) {
          const labels = { function: subscription.name };
          metrics.records.inc(labels, records.length);
          metrics.chunkRecords.observe(labels, records.length);
          metrics.chunkSeconds.observe(labels, seconds);
        },
        onLag(topic, partition, records) {
          const labels = { function: subscription.name, topic, partition };
          if (records === null) metrics.lag.remove(labels);
          else metrics.lag.set(labels, records);
        },
      }),
  );
  return {
    trouble: () => intakes.map((each) => each.trouble).find((each) => each !== null) ?? null,
    async stop() {
      await Promise.all(intakes.map((each) => each.stop()));
    },
  };
}

function handlerOf(subscription: Subscription, options: KafkaIntakeOptions): RecordHandler {
  const { config, projections, log, metrics } = options;
  const onLost = (records: number) =>
    metrics.recordsLost.inc({ function: subscription.name }, records);
  const projection = projections.served.find(
    ({ definition }) => definition.name === subscription.name,
  );
  if (projection === undefined) {
    const lost = new LostRecords(projections.database);
    const ingestor = new EventIngestor(options.ingestor, options.count, options.schemas);
    return new ChangeHandler(subscription, ingestor, lost, log, onLost);
  }
  return new ProjectionHandler(projections.database, config.WRITERS, projection, log, {
    onLost,
    onGone: (partitions) => metrics.partitionsGone.inc({ function: subscription.name }, partitions),
    onParked: (reason) => metrics.parked.inc({ reason }),
  });
}
