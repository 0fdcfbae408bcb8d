import { InvalidEvent, show } from '../invalid-event.ts';

/** Kind of log whose positions a change of a supported database holds. */
export type LogKind = 'wal' | 'binlog';

/**
 * Debezium's connectors that are supported, by `source.connector`. Messages of other connectors look alike,
 * above all their snapshot reads, but hold no position that could be compared.
 */
const SUPPORTED: ReadonlyMap<string, { readonly database: string; readonly log: LogKind }> =
  new Map([
    ['postgresql', { database: 'PostgreSQL', log: 'wal' }],
    ['mysql', { database: 'MySQL', log: 'binlog' }],
    ['mariadb', { database: 'MariaDB', log: 'binlog' }],
  ]);

/** Names of databases whose connectors are not supported, by `source.connector`. */
const UNSUPPORTED: ReadonlyMap<string, string> = new Map([
  ['sqlserver', 'SQL Server'],
  ['oracle', 'Oracle'],
  ['mongodb', 'MongoDB'],
  ['db2', 'Db2'],
  ['db2as400', 'Db2 for i'],
  ['informix', 'Informix'],
  ['cassandra', 'Cassandra'],
  ['vitess', 'Vitess'],
  ['spanner', 'Cloud Spanner'],
  ['cockroachdb', 'CockroachDB'],
]);

/** Such as "PostgreSQL (connector postgresql), MySQL (connector mysql)". */
const CHOICE = [...SUPPORTED].map(([name, { database }]) => `${database} (connector ${name})`);

/**
 * Returns the kind of log that a change of this connector has its position in; null if the message, made by hand,
 * names no connector. Throws {@link InvalidEvent} for a change of an unsupported database.
 */
export function logOf(connector: unknown, name: string): LogKind | null {
  if (connector === undefined || connector === null) return null;
  const supported = typeof connector === 'string' ? SUPPORTED.get(connector) : undefined;
  if (supported !== undefined) return supported.log;
  const known = typeof connector === 'string' ? UNSUPPORTED.get(connector) : undefined;
  throw new InvalidEvent(
    'unsupported-source',
    `not supported yet: ${known ?? 'this connector'}: ${name} is ${show(connector)}, and only changes of ${CHOICE.join(', ')} are read`,
  );
}
