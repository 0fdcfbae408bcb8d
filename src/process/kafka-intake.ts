import type { Config } from '../config/config.ts';
import type { Log } from '../function.ts';
import { ChangeDestination } from '../intake/kafka/change-handler.ts';
import type { Destination } from '../intake/kafka/record-handler.ts';
import { KafkaIntake } from '../intake/kafka/intake.ts';
import { ProjectionDestination } from '../intake/kafka/projection-handler.ts';
import type { Count } from '../intake/http-error.ts';
import { Taker } from '../intake/ingest.ts';
import { connectKafka } from '../kafka/client.ts';
import type { Metrics } from './metrics.ts';
import type { Place } from './subscriptions.ts';
import type { Projections } from './projections.ts';
import type { Filing } from '../state/ingest/event-ingestor.ts';
import { LostRecords } from '../state/projections/positions.ts';

/** A stop waits for chunks no longer: handlers need their part of the time too. */
const LONGEST_DRAIN_MS = 10_000;

export interface Pulling {
  /** Why records are not read, or not all of them; null if all is well. */
  trouble(): string | null;
  /** Ends chunks under way, leaves the consumer groups. */
  stop(): Promise<void>;
}

export interface PullingOptions {
  readonly config: Config;
  readonly places: readonly Place[];
  readonly filing: Filing;
  readonly projections: Projections;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly count: Count;
}

/**
 * Reads the topics of each function, as a member of a consumer group of its own. Throws `ConfigError`
 * where no client can be made of the configuration.
 */
export function startPulling(options: PullingOptions): Pulling {
  const { config, places, log, metrics } = options;
  const connect = () => connectKafka(config, log);
  connect();
  const intakes = places.map(
    (place) =>
      new KafkaIntake({
        connect,
        destination: destinationOf(place, options),
        group: config.KAFKA_GROUP ?? `muster-${place.name}`,
        queueBytes: (config.QUEUE_MIB * 1024 * 1024) / places.length,
        sessionTimeoutMs: config.LEASE_SECONDS * 1000,
        drainMs: Math.min(config.DRAIN_SECONDS * 1000, LONGEST_DRAIN_MS),
        log,
        onTaken({ records }, seconds) {
          const labels = { function: place.name };
          metrics.records.inc(labels, records.length);
          metrics.chunkRecords.observe(labels, records.length);
          metrics.chunkSeconds.observe(labels, seconds);
        },
        onLag(topic, partition, records) {
          const labels = { function: place.name, topic, partition };
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

function destinationOf(place: Place, options: PullingOptions): Destination {
  const { config, filing, projections, log, metrics, count } = options;
  const onLost = (records: number) => metrics.recordsLost.inc({ function: place.name }, records);
  const projection = projections.served.find(({ definition }) => definition.name === place.name);
  if (projection === undefined) {
    const lost = new LostRecords(projections.database);
    return new ChangeDestination(place, new Taker(filing, count), lost, log, onLost);
  }
  return new ProjectionDestination(projections.database, config.WRITERS, projection, log, {
    onLost,
    onGone: (partitions) => metrics.partitionsGone.inc({ function: place.name }, partitions),
    onParked: (reason) => metrics.parked.inc({ reason }),
  });
}
