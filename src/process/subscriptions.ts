import { ConfigError, type Config } from '../config/config.ts';
import type { Definition, Log } from '../function.ts';
import { isProjection } from '../definitions/load-functions.ts';
import { specify, type Specification } from '../definitions/specification.ts';
import { eventTypesOf, recordTopicsOf, tablesOf } from '../definitions/streams.ts';
import { expandTopics } from '../definitions/topics.ts';

/** The topics that a function reads. */
export interface Subscription {
  readonly name: string;
  readonly topics: readonly string[];
}

/**
 * Returns the subscription of each function with `INTAKE=kafka`, and null otherwise. Throws {@link ConfigError} if
 * the topics or the consumer group are not determined, or if only projections are served without Kafka.
 */
export function subscriptionsOf(
  config: Config,
  definitions: readonly Definition[],
  log: Log,
): readonly Subscription[] | null {
  const projections = definitions.filter(isProjection).map(({ name }) => name);
  if (config.INTAKE !== 'kafka') {
    if (projections.length === 0) return null;
    const how = config.INTAKE === 'http' ? 'over HTTP' : 'from the log of a database';
    const need = `${projections.join(', ')} can't receive events ${how}: a projection reads its records from Kafka, with INTAKE=kafka`;
    if (projections.length === definitions.length) throw new ConfigError(need);
    log.warn({}, need);
    return null;
  }
  if (config.KAFKA_GROUP !== null && definitions.length > 1) {
    const names = definitions.map(({ name }) => name).join(', ');
    throw new ConfigError(
      `KAFKA_GROUP names the group of one function, but FUNCTIONS has several: ${names}`,
    );
  }
  return definitions.map((each) => ({
    name: each.name,
    topics: isProjection(each) ? [each.topic] : topicsOf(specify(each), config),
  }));
}

/** Topics whose records are parts of a function, and those that carry the changes of its tables, or its events. */
function topicsOf(specification: Specification, { TOPIC }: Config): string[] {
  const { name } = specification;
  const tables = tablesOf([specification]);
  const records = recordTopicsOf([specification]);
  if (TOPIC !== null) {
    return [...new Set([...records, ...expandTopics(TOPIC, tables)])];
  }
  if (tables.length > 0) {
    throw new ConfigError(
      `TOPIC is not set: name the topics with the changes of ${name}, for example TOPIC=<prefix>.${tables[0]}, or <prefix>.* for ${tables.join(', ')}`,
    );
  }
  const types = eventTypesOf([specification]);
  if (types.length > 0) {
    throw new ConfigError(
      `TOPIC is not set: name the topics with the CloudEvents of ${name} (${types.join(', ')})`,
    );
  }
  return records;
}
