import { count, extensions, listOf, matching, oneOf, text, url, type Setting } from './setting.ts';

/** Every environment variable that Muster reads. Names end with the unit of the value. */
export const SETTINGS = {
  DATABASE_URL: {
    description: 'URL of the state database (PostgreSQL 16 or newer)',
    fallback: null,
    secret: true,
    read: url('postgres:', 'postgresql:'),
  },
  FUNCTIONS: {
    description: 'functions that this process serves, separated by commas. Default: all',
    fallback: null,
    read: listOf('names of functions', /^[a-z][a-z0-9-]*$/),
  },
  FUNCTIONS_FOLDER: {
    description: 'folder with the functions, as the option `--functions` of every command',
    fallback: 'functions',
    read: text,
  },
  HOST: { description: 'address to listen on', fallback: '0.0.0.0', read: text },
  PORT: { description: 'port to listen on', fallback: '8080', read: count(0, 65_535) },
  LOG_LEVEL: {
    description: 'minimum level of log lines, which go to standard error',
    fallback: 'info',
    read: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
  },
  CONCURRENCY: {
    description: 'maximum number of handlers that run at a time in this process',
    fallback: '16',
    read: count(1, 1000),
  },
  SET_LIMIT_MIB: {
    description:
      'maximum size of a set, counted over its kept columns; the run of a larger one fails',
    fallback: '64',
    read: count(1, 1024),
  },
  WRITERS: {
    description: 'connections that ingest events, or apply chunks of a projection',
    fallback: '2',
    read: count(1, 16),
  },
  QUEUE_MIB: {
    description:
      'memory for requests in flight, from their first byte to their answer. Above it, requests are answered 503 and no more records are fetched',
    fallback: '64',
    read: count(1, 4096),
  },
  BODY_LIMIT_MIB: {
    description: "maximum size of an event; must exceed the topic's `max.message.bytes`",
    fallback: '16',
    read: count(1, 512),
  },
  REQUEST_TIMEOUT_SECONDS: {
    description: 'maximum time for a request to arrive in full',
    fallback: '60',
    read: count(1, 3600),
  },
  CONNECTION_REQUESTS: {
    description:
      'number of requests after which a connection is closed, so that new pods get a share of the load',
    fallback: '100',
    read: count(1, 1_000_000),
  },
  CONNECTION_SECONDS: {
    description: 'age of a connection after which its next answer closes it',
    fallback: '5',
    read: count(1, 3600),
  },
  STATEMENT_TIMEOUT_SECONDS: {
    description: "timeout of Muster's own SQL statements",
    fallback: '15',
    read: count(1, 600),
  },
  LEASE_SECONDS: {
    description:
      'time after which the work of a killed pod continues elsewhere. Also the session timeout of Kafka consumers, for which brokers require 6 or more',
    fallback: '10',
    read: count(1, 600),
  },
  CLAIM_SECONDS: {
    description: 'polling interval for due runs, deadlines and outgoing events',
    fallback: '1',
    read: count(1, 60),
  },
  DEADLINE_GRACE_SECONDS: {
    description:
      'deadlines fire only after intake has been idle for this long, or the process has served for six times as long',
    fallback: '10',
    read: count(0, 3600),
  },
  DRAIN_SECONDS: {
    description: 'grace period for running handlers after SIGTERM; then their runs are released',
    fallback: '25',
    read: count(0, 3600),
  },
  TOMBSTONE_DAYS: {
    description: "how long deleted rows are remembered; must exceed the topic's retention",
    fallback: '30',
    read: count(1, 3650),
  },
  PARKED_DAYS: {
    description:
      'age at which parked events are deleted; the log and `muster_parked_purged_total` count them',
    fallback: '90',
    read: count(1, 3650),
  },
  K_SINK: {
    description: 'URL that outgoing events are posted to; set by a SinkBinding',
    fallback: null,
    read: url('http:', 'https:'),
  },
  K_CE_OVERRIDES: {
    description: 'extension attributes for outgoing events, as JSON; set by a SinkBinding',
    fallback: null,
    read: extensions,
  },
  SINK_TOPIC: {
    description: 'Kafka topic that outgoing events are written to, instead of `K_SINK`',
    fallback: null,
    read: matching('the name of a topic', /^[\w.-]{1,249}$/),
  },
  SINK: {
    description: '`stdout` prints outgoing events. Without any sink they wait',
    fallback: null,
    read: oneOf('stdout'),
  },
  INTAKE: {
    description:
      "`http` receives events as requests, `kafka` reads them as a member of a consumer group, `wal` reads the changes of tables from PostgreSQL's own log",
    fallback: 'http',
    read: oneOf('http', 'kafka', 'wal'),
  },
  SOURCE_DATABASE_URL: {
    description:
      'URL of the database whose changes `INTAKE=wal` reads: its server itself, because a pooler can not replicate',
    fallback: null,
    secret: true,
    read: url('postgres:', 'postgresql:'),
  },
  WAL_SLOT: {
    description:
      'name of the replication slot and of the publication that `INTAKE=wal` creates there. Processes with another state database or other functions need another one, because a slot sends a change once',
    fallback: 'muster',
    read: matching(
      'of at most 50 lower-case letters, digits and underscores, and begin with a letter',
      /^[a-z][a-z0-9_]{0,49}$/,
    ),
  },
  KAFKA_GROUP: {
    description:
      'name of that consumer group, for a process with one function. Default: `<KAFKA_GROUP_PREFIX><function>`',
    fallback: null,
    read: matching('a name of a consumer group', /^[\w.-]{1,249}$/),
  },
  KAFKA_GROUP_PREFIX: {
    description:
      'prefix of the names of consumer groups. Processes with another state database need another one, because each group reads a record once',
    fallback: 'muster-',
    read: matching('the beginning of a name of a consumer group', /^[\w.-]{1,180}$/),
  },
  TOPIC: {
    description:
      "topics with the change events of the function's tables, or with its CloudEvents, separated by commas. `<prefix>.*` stands for `<prefix>.<schema>.<table>` of every table",
    fallback: null,
    read: listOf('names of topics', /^[\w.-]{1,249}(?:\.\*)?$/),
  },
  KAFKA_BROKERS: {
    description: 'Kafka bootstrap servers as host:port, separated by commas',
    fallback: null,
    read: listOf('host:port', /^(?:[\w.-]+|\[[\da-f:]+\]):\d{1,5}$/i),
  },
  KAFKA_TLS: {
    description: '`1` connects to Kafka over TLS',
    fallback: '0',
    read: oneOf('0', '1'),
  },
  KAFKA_CA_FILE: {
    description:
      'file with the CA certificates (PEM) that brokers are verified with. Default: those of the system',
    fallback: null,
    read: text,
  },
  KAFKA_CERT_FILE: {
    description: 'file with the client certificate (PEM) for brokers that require one',
    fallback: null,
    read: text,
  },
  KAFKA_KEY_FILE: {
    description: 'file with the private key (PEM) of that certificate',
    fallback: null,
    read: text,
  },
  KAFKA_SASL_MECHANISM: {
    description: 'SASL mechanism: `plain`, `scram-sha-256` or `scram-sha-512`. Default: no login',
    fallback: null,
    read: oneOf('plain', 'scram-sha-256', 'scram-sha-512'),
  },
  KAFKA_USERNAME: { description: 'user name for SASL', fallback: null, read: text },
  KAFKA_PASSWORD: {
    description: 'password for SASL',
    fallback: null,
    secret: true,
    read: text,
  },
  SCHEMA_REGISTRY_URL: {
    description:
      "URL of the schema registry by which changes in Avro, Protobuf and JSON Schema are decoded. That of Apicurio's ends with `/apis/ccompat/v7`",
    fallback: null,
    read: url('http:', 'https:'),
  },
  SCHEMA_REGISTRY_USERNAME: {
    description: 'user name for the registry. Default: no login',
    fallback: null,
    read: text,
  },
  SCHEMA_REGISTRY_PASSWORD: {
    description: 'password for the registry',
    fallback: null,
    secret: true,
    read: text,
  },
  SCHEMA_REGISTRY_TOKEN_FILE: {
    description: 'file with a bearer token for the registry, instead of a user name and password',
    fallback: null,
    read: text,
  },
  SCHEMA_REGISTRY_CA_FILE: {
    description:
      'file with the CA certificates (PEM) that the registry is verified with. Default: those of the system',
    fallback: null,
    read: text,
  },
  OIDC_ISSUER: {
    description:
      'URL of the issuer whose tokens senders must present. Default: anybody may post events',
    fallback: null,
    read: url('https:'),
  },
  OIDC_AUDIENCE: {
    description: "audience that a token must be issued for: the source's `sink.audience`",
    fallback: null,
    read: text,
  },
  OIDC_SUBJECTS: {
    description:
      'token subjects that may post events, separated by commas. Default: every valid token',
    fallback: null,
    read: listOf('subjects of tokens', /^\S+$/),
  },
  OIDC_CA_FILE: {
    description:
      'file with the CA certificates (PEM) that the issuer is verified with. Default: those of the system',
    fallback: null,
    read: text,
  },
  OIDC_TOKEN_FILE: {
    description:
      "file with the token that authorizes fetching the issuer's keys, where they are not public",
    fallback: null,
    read: text,
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    description:
      "OTLP endpoint for traces and metrics. Other `OTEL_` variables are read by OpenTelemetry's SDK",
    fallback: null,
    read: url('http:', 'https:'),
  },
  OTEL_SERVICE_NAME: {
    description: 'service name in traces and metrics',
    fallback: 'muster',
    read: text,
  },
  INSTANCE_ID: {
    description:
      'value of the `muster-instance` header of readiness answers, by which the program that started this process recognizes it',
    fallback: null,
    read: matching('of at most 64 letters, digits, dots, dashes and underscores', /^[\w.-]{1,64}$/),
  },
  EXIT_WITH_STDIN: {
    description:
      '`1` stops the process when standard input ends, for a parent process that may be killed',
    fallback: '0',
    read: oneOf('0', '1'),
  },
} as const satisfies Record<string, Setting>;

/** Name of one of them. */
export type SettingName = keyof typeof SETTINGS;
