import type { KafkaTopics } from './kafka-topics.ts';

export interface EnvironmentOptions {
  readonly databaseUrl: string;
  readonly kafka: Pick<KafkaTopics, 'brokers' | 'topics'> | null;
  /** Prefix of the names of the consumer groups. */
  readonly groupPrefix: string;
}

/**
 * Returns the environment of the functions and the console: that of the shell, in which the settings of production may
 * be set, without what would read or write there, or refuse the events of this machine. Kafka is read only with `--kafka`, and never as a member of a group
 * that the shell names, because the other members would not get the partitions that this process gets.
 */
export function environmentOf(
  shell: NodeJS.ProcessEnv,
  { databaseUrl, kafka, groupPrefix }: EnvironmentOptions,
): NodeJS.ProcessEnv {
  return {
    DEADLINE_GRACE_SECONDS: '1',
    ...shell,
    SINK: shell['SINK'] || 'stdout',
    K_SINK: '',
    SINK_TOPIC: '',
    OIDC_ISSUER: '',
    OIDC_AUDIENCE: '',
    OIDC_SUBJECTS: '',
    DATABASE_URL: databaseUrl,
    HOST: '127.0.0.1',
    INTAKE: kafka === null ? 'http' : 'kafka',
    KAFKA_GROUP: '',
    KAFKA_GROUP_PREFIX: groupPrefix,
    ...(kafka !== null && { KAFKA_BROKERS: kafka.brokers, TOPIC: kafka.topics ?? '' }),
  };
}

/**
 * Returns the prefix of the consumer groups of a database. It has the name of the database, so that two developers do
 * not divide the partitions between them, and a new database reads the topics from their beginning, whereas a later
 * start on the same one continues.
 */
export function groupPrefixOf(databaseId: string): string {
  return `muster-dev-${databaseId}-`;
}
