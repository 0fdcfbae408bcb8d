/**
 * How Debezium is to read `datastore.signal`: the settings for production, which the demo and the
 * tests use and the manifests repeat. {@link connection} adds where the database is.
 */
export const CONNECTOR = {
  'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
  'tasks.max': '1',
  'topic.prefix': 'postgres',
  'plugin.name': 'pgoutput',
  'slot.name': 'muster',
  'publication.name': 'muster',
  // The publication names the tables: without it every change of the database crosses the wire.
  'publication.autocreate.mode': 'filtered',
  'table.include.list': 'datastore.signal',
  // Whoever wants rows sent again inserts a line here; no table of Muster's or the application's.
  'signal.data.collection': 'debezium.dbz_signal',
  // At its first start, and whenever what it has stored is no longer to be had: `initial` takes no
  // snapshot once there are offsets, and after the loss of its slot it fails for good.
  'snapshot.mode': 'when_needed',
  // `span` is of a range type of its own; without this the field is missing.
  'include.unknown.datatypes': 'true',
  // By default truncates are skipped.
  'skipped.operations': 'none',
  // No function reads the samples from the event; they would be most of its bytes.
  'column.exclude.list': 'datastore.signal.data',
  // A quiet table must not hold back the log of a busy database. The query gives the connector
  // something to read and so to acknowledge: with the interval alone the slot stood still (25 MB
  // behind in 16 s), with it no more than an interval's worth is kept.
  'heartbeat.interval.ms': '10000',
  'heartbeat.action.query': "select pg_logical_emit_message(false, 'heartbeat', now()::text)",
  'message.prefix.exclude.list': 'heartbeat',
  // An insert reaches the function in 0.1-0.2 s rather than in 0.5 s (the default is 500).
  'poll.interval.ms': '100',
  // Four headers on each record that nobody reads, and that a KafkaSource would pass on.
  'extended.headers.enabled': 'false',
  'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
  // The schema would go into two HTTP headers.
  'key.converter.schemas.enable': 'false',
  'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
  'value.converter.schemas.enable': 'false',
} as const;

/** The topic of the table's changes. */
export const TOPIC = `${CONNECTOR['topic.prefix']}.${CONNECTOR['table.include.list']}`;

/** What `signal.data.collection` names, as Debezium wants it. */
export const SIGNAL_TABLE = `
create schema if not exists debezium;
create table if not exists debezium.dbz_signal (id text primary key, type text not null, data text);`;

/** A connector: what Connect is given. */
export interface Connector {
  readonly name: string;
  readonly config: Readonly<Record<string, string>>;
}

/** Settings that say where a database is. */
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

/** For a Kafka of one node; `partitions` as a small production topic has them. */
export const SINGLE_NODE = {
  'topic.creation.default.partitions': '3',
  'topic.creation.default.replication.factor': '1',
} as const;
