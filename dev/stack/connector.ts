/**
 * Debezium's settings for `datastore.signal` in production, which the demo and the tests use and the
 * manifests repeat. {@link connection} adds the database's address.
 */
export const CONNECTOR = {
  'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
  'tasks.max': '1',
  'topic.prefix': 'postgres',
  'plugin.name': 'pgoutput',
  'slot.name': 'muster',
  'publication.name': 'muster',
  // Limits the publication to these tables: otherwise every change of the database is sent.
  'publication.autocreate.mode': 'filtered',
  'table.include.list': 'datastore.signal',
  // Inserting a row here makes Debezium read a table again. It belongs neither to Muster nor to the
  // application.
  'signal.data.collection': 'debezium.dbz_signal',
  // Takes a snapshot at the first start and whenever the log at the stored position is no longer
  // available: `initial` takes none once offsets exist, and fails permanently after the loss of its slot.
  'snapshot.mode': 'when_needed',
  // `span` has a custom range type; without this the field is missing.
  'include.unknown.datatypes': 'true',
  // Truncates are skipped by default.
  'skipped.operations': 'none',
  // No function reads the samples from the event, of which they would be the largest part.
  'column.exclude.list': 'datastore.signal.data',
  // A quiet table must not make a busy database retain its WAL. The query gives the connector something
  // to read and thus to acknowledge: with the interval alone the slot did not advance (25 MB behind in
  // 16 s), with the query at most one interval's WAL is retained.
  'heartbeat.interval.ms': '10000',
  'heartbeat.action.query': "select pg_logical_emit_message(false, 'heartbeat', now()::text)",
  'message.prefix.exclude.list': 'heartbeat',
  // An insert reaches the function in 0.1-0.2 s instead of 0.5 s (the default is 500).
  'poll.interval.ms': '100',
  // Otherwise each record has four headers that no consumer reads and that a KafkaSource would forward.
  'extended.headers.enabled': 'false',
  'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
  // The key's schema would be sent in two HTTP headers.
  'key.converter.schemas.enable': 'false',
  'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
  'value.converter.schemas.enable': 'false',
} as const;

/** The topic of the table's changes. */
export const TOPIC = `${CONNECTOR['topic.prefix']}.${CONNECTOR['table.include.list']}`;

/** SQL that creates the table named by `signal.data.collection`, with the columns Debezium requires. */
export const SIGNAL_TABLE = `
create schema if not exists debezium;
create table if not exists debezium.dbz_signal (id text primary key, type text not null, data text);`;

/** A connector as it is submitted to Connect. */
export interface Connector {
  readonly name: string;
  readonly config: Readonly<Record<string, string>>;
}

/** Returns the settings for the address and login of a database. */
export function connection(url: string): Record<string, string> {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    'database.hostname': hostname,
    'database.port': port || '5432',
    'database.user': decodeURIComponent(username),
    'database.password': decodeURIComponent(password),
    'database.dbname': pathname.slice(1),
  };
}

/** For a single-node Kafka cluster; the partitions are those of a small production topic. */
export const SINGLE_NODE = {
  'topic.creation.default.partitions': '3',
  'topic.creation.default.replication.factor': '1',
} as const;
