import { ConfigError, type Config } from '../config/config.ts';
import type { Definition, FunctionDefinition, Log } from '../function.ts';
import { isProjection } from '../definitions/load-functions.ts';

/** Whose records are read from which topics. */
export interface Subscription {
  readonly name: string;
  readonly topics: readonly string[];
}

/**
 * What there is to read with `INTAKE=kafka`, by function; null with `INTAKE=http`. Throws
 * {@link ConfigError} where the configuration leaves it open, or nothing could be done with it.
 */
export function subscriptionsOf(
  config: Config,
  definitions: readonly Definition[],
  log: Log,
): readonly Subscription[] | null {
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
      `TOPIC is not set: the topics with the changes of ${name}, as in TOPIC=<prefix>.${tables[0]}, or <prefix>.* for ${tables.join(', ')}`,
    );
  }
  return TOPIC.flatMap((topic) =>
    topic.endsWith('.*') ? tables.map((table) => `${topic.slice(0, -1)}${table}`) : [topic],
  );
}
