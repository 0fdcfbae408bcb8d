import type { Kafka } from 'kafkajs';
import { ConfigError, type Config } from './config.ts';
import type { Definition, FunctionDefinition, Log } from './function.ts';
import { isProjection } from './functions.ts';
import { ChangeDestination } from './intake/change-destination.ts';
import type { Destination } from './intake/destination.ts';
import { KafkaIntake } from './intake/kafka.ts';
import { ProjectionDestination } from './intake/projection-destination.ts';
import type { Count } from './intake/refusal.ts';
import { Taker } from './intake/take.ts';
import type { Metrics } from './metrics.ts';
import type { Projections } from './projections.ts';
import type { Filing } from './state/filing.ts';
import { LostRecords } from './state/positions.ts';

/** A stop waits for chunks no longer: handlers need their part of the time too. */
const LONGEST_DRAIN_MS = 10_000;

export interface Pulling {
  /** Why records are not read, or not all of them; null if all is well. */
  trouble(): string | null;
  /** Ends chunks under way, leaves the consumer groups. */
  stop(): Promise<void>;
}

/** Whose records are read from which topics. */
export interface Place {
  readonly name: string;
  readonly topics: readonly string[];
}

/**
 * What there is to read with `INTAKE=kafka`, by function; null with `INTAKE=http`. Throws
 * {@link ConfigError} where the configuration leaves it open, or nothing could be done with it.
 */
export function placesToPull(
  config: Config,
  definitions: readonly Definition[],
  log: Log,
): readonly Place[] | null {
  const projections = definitions.filter(isProjection).map(({ name }) => name);
  if (config.INTAKE === 'http') {
    if (projections.length === 0) return null;
    const need = `${projections.join(', ')} can't be posted to: a projection reads its records from Kafka, with INTAKE=kafka`;
    if (projections.length === definitions.length) throw new ConfigError(need);
    log.warn({}, need);
    return null;
  }
  if (config.KAFKA_GROUP !== null && definitions.length > 1) {
    const names = definitions.map(({ name }) => name).join(', ');
    throw new ConfigError(`KAFKA_GROUP is the group of one function, and FUNCTIONS are ${names}`);
  }
  return definitions.map((each) => ({
    name: each.name,
    topics: isProjection(each) ? [each.topic] : topicsOf(each, config),
  }));
}

/** Topics with the changes of a function's tables. */
function topicsOf({ name, parts }: FunctionDefinition, { TOPIC }: Config): string[] {
  const tables = [...new Set(Object.values(parts).map((part) => part.table))];
  if (TOPIC === null) {
    throw new ConfigError(
      `TOPIC is not set: the topics with ${name}'s changes, as in TOPIC=<prefix>.${tables[0]}, or <prefix>.* for ${tables.join(', ')}`,
    );
  }
  return TOPIC.flatMap((topic) =>
    topic.endsWith('.*') ? tables.map((table) => `${topic.slice(0, -1)}${table}`) : [topic],
  );
}

export interface PullingOptions {
  readonly config: Config;
  readonly places: readonly Place[];
  readonly connect: () => Kafka;
  readonly filing: Filing;
  readonly projections: Projections;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly count: Count;
}

/** Reads the topics of each function, as a member of a consumer group of its own. */
export function startPulling(options: PullingOptions): Pulling {
  const { config, places, connect, log, metrics } = options;
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
    onParked: (reason) => metrics.parked.inc({ reason }),
  });
}
