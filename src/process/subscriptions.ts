import { ConfigError, type Config } from '../config/config.ts';
import type { Definition, FunctionDefinition, Log } from '../function.ts';
import { isProjection } from '../definitions/load-functions.ts';
import { expandTopics } from '../definitions/topics.ts';

/** The topics that a function reads. */
export interface Subscription {
  readonly name: string;
  readonly topics: readonly string[];
}

/**
 * Returns the subscription of each function with `INTAKE=kafka`, and null with `INTAKE=http`. Throws
 * {@link ConfigError} if the topics or the consumer group are not determined, or if `INTAKE=http` serves
 * only projections.
 */
export function subscriptionsOf(
  config: Config,
  definitions: readonly Definition[],
  log: Log,
): readonly Subscription[] | null {
  const projections = definitions.filter(isProjection).map(({ name }) => name);
  if (config.INTAKE === 'http') {
    if (projections.length === 0) return null;
    const need = `${projections.join(', ')} can't receive events over HTTP: a projection reads its records from Kafka, with INTAKE=kafka`;
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
    topics: isProjection(each) ? [each.topic] : topicsOf(each, config),
  }));
}

/** Topics that carry the changes of a function's tables. */
function topicsOf({ name, parts }: FunctionDefinition, { TOPIC }: Config): string[] {
  const tables = [...new Set(Object.values(parts).map((part) => part.table))];
  if (TOPIC === null) {
    throw new ConfigError(
      `TOPIC is not set: name the topics with the changes of ${name}, for example TOPIC=<prefix>.${tables[0]}, or <prefix>.* for ${tables.join(', ')}`,
    );
  }
  return expandTopics(TOPIC, tables);
}
