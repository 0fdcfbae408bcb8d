/** A setting of a connector that Muster's guarantees depend on, and what goes wrong without it. */
type Setting = readonly [
  name: string,
  isFine: (value: string | undefined) => boolean,
  set: string,
  why: string,
];

const CONVERTERS = [
  'org.apache.kafka.connect.json.JsonConverter',
  'io.debezium.converters.CloudEventsConverter',
  // with SCHEMA_REGISTRY_URL
  'io.confluent.connect.avro.AvroConverter',
  'io.confluent.connect.json.JsonSchemaConverter',
  'io.confluent.connect.protobuf.ProtobufConverter',
  'io.apicurio.registry.utils.converter.AvroConverter',
];

const COMMON: readonly Setting[] = [
  [
    'skipped.operations',
    (value) => value === 'none',
    'none',
    'truncates are not sent: rows of emptied tables stay in their sets',
  ],
  [
    'value.converter',
    (value) => value === undefined || CONVERTERS.includes(value),
    CONVERTERS[0]!,
    'its messages are in no format that is read, and are parked',
  ],
];

const needsSnapshots = (why: string): Setting => [
  'snapshot.mode',
  (value) => value === 'when_needed' || value === 'always',
  'when_needed',
  why,
];

const POSTGRESQL: readonly Setting[] = [
  [
    'plugin.name',
    (value) => value === 'pgoutput',
    'pgoutput',
    'the default plugin is not part of PostgreSQL',
  ],
  ...COMMON,
  needsSnapshots('once its slot is lost or dropped, it takes no snapshot and fails permanently'),
  [
    'publication.autocreate.mode',
    (value) => value === 'filtered' || value === 'disabled',
    'filtered',
    'a publication for all tables includes those of Muster',
  ],
  [
    'heartbeat.interval.ms',
    (value) => Number(value ?? 0) > 0,
    '10000',
    'quiet tables make a busy database retain its log',
  ],
];

const BINLOG: readonly Setting[] = [
  ...COMMON,
  needsSnapshots(
    'once the binlog at its position is purged, it takes no snapshot and fails permanently',
  ),
];

export interface ConnectorKind {
  readonly database: string;
  readonly settings: readonly Setting[];
  /** Fields that a flattened row must carry in addition to its columns. */
  readonly added: readonly string[];
}

const binlog = (database: string): ConnectorKind => ({
  database,
  settings: BINLOG,
  added: 'op,table,db,file,pos,row,name,connector,snapshot,source.ts_ms'.split(','),
});

/** The supported connectors, by class. */
export const KINDS: ReadonlyMap<string, ConnectorKind> = new Map([
  [
    'io.debezium.connector.postgresql.PostgresConnector',
    {
      database: 'PostgreSQL',
      settings: POSTGRESQL,
      added: 'op,table,lsn,schema,name,connector,snapshot,source.ts_ms'.split(','),
    },
  ],
  ['io.debezium.connector.mysql.MySqlConnector', binlog('MySQL')],
  ['io.debezium.connector.mariadb.MariaDbConnector', binlog('MariaDB')],
]);
