import { count, extensions, listOf, matching, oneOf, text, url, type Setting } from './setting.ts';

/** Everything that can be configured. Names carry their unit. */
export const SETTINGS = {
  DATABASE_URL: {
    meaning: 'state database (PostgreSQL 18 or newer)',
    fallback: null,
    secret: true,
    read: url('postgres:', 'postgresql:'),
  },
  FUNCTIONS: {
    meaning: 'functions this process serves, separated by commas; all of them unless set',
    fallback: null,
    read: listOf('names of functions', /^[a-z][a-z0-9-]*$/),
  },
  HOST: { meaning: 'address to listen on', fallback: '0.0.0.0', read: text },
  PORT: { meaning: 'port to listen on', fallback: '8080', read: count(0, 65_535) },
  LOG_LEVEL: {
    meaning: 'lines of this level and above, on standard error',
    fallback: 'info',
    read: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
  },
  CONCURRENCY: {
    meaning: 'handlers at a time in this process',
    fallback: '16',
    read: count(1, 1000),
  },
  SET_LIMIT_MIB: {
    meaning: "largest set that a handler is given, by its kept columns; a larger one's run fails",
    fallback: '64',
    read: count(1, 1024),
  },
  WRITERS: {
    meaning: 'connections that ingest events or apply chunks of a projection',
    fallback: '2',
    read: count(1, 16),
  },
  QUEUE_MIB: {
    meaning:
      'requests that may be held, from their first byte to their answer; beyond it 503, or no more records are fetched',
    fallback: '64',
    read: count(1, 4096),
  },
  BODY_LIMIT_MIB: {
    meaning: "largest event; must be above the topic's `max.message.bytes`",
    fallback: '16',
    read: count(1, 512),
  },
  REQUEST_TIMEOUT_SECONDS: {
    meaning: 'a request must have arrived in whole by then',
    fallback: '60',
    read: count(1, 3600),
  },
  CONNECTION_REQUESTS: {
    meaning:
      'a connection is closed after at most this many requests, so that new pods get a share',
    fallback: '100',
    read: count(1, 1_000_000),
  },
  CONNECTION_SECONDS: {
    meaning: 'a connection is closed with its first answer after at most this time',
    fallback: '5',
    read: count(1, 3600),
  },
  STATEMENT_TIMEOUT_SECONDS: {
    meaning: "a statement of Muster's own may take so long",
    fallback: '15',
    read: count(1, 600),
  },
  LEASE_SECONDS: {
    meaning:
      'work of a killed pod goes on elsewhere after this time; also the session of a consumer, of which brokers allow 6 and more',
    fallback: '10',
    read: count(1, 600),
  },
  CLAIM_SECONDS: {
    meaning: 'how often due runs, deadlines and events are looked for',
    fallback: '1',
    read: count(1, 60),
  },
  DEADLINE_GRACE_SECONDS: {
    meaning: 'deadlines are held back until intake was idle so long, or served six times as long',
    fallback: '10',
    read: count(0, 3600),
  },
  DRAIN_SECONDS: {
    meaning: 'at SIGTERM handlers may go on so long; then their runs go back',
    fallback: '25',
    read: count(0, 3600),
  },
  TOMBSTONE_DAYS: {
    meaning: "deleted rows are remembered so long; must be above the topic's retention",
    fallback: '30',
    read: count(1, 3650),
  },
  PARKED_DAYS: {
    meaning:
      'parked events are deleted after this time; log and `muster_parked_purged_total` count them',
    fallback: '90',
    read: count(1, 3650),
  },
  K_SINK: {
    meaning: 'URL that outgoing events are posted to (a SinkBinding sets it)',
    fallback: null,
    read: url('http:', 'https:'),
  },
  K_CE_OVERRIDES: {
    meaning: 'extensions for outgoing events, as a SinkBinding sets them',
    fallback: null,
    read: extensions,
  },
  SINK_TOPIC: {
    meaning: 'Kafka topic that outgoing events are written to, instead of `K_SINK`',
    fallback: null,
    read: matching('the name of a topic', /^[\w.-]{1,249}$/),
  },
  SINK: {
    meaning: '`stdout`: print outgoing events. Without any sink they wait',
    fallback: null,
    read: oneOf('stdout'),
  },
  INTAKE: {
    meaning:
      '`http`: events are posted; `kafka`: records are read, as a member of a consumer group',
    fallback: 'http',
    read: oneOf('http', 'kafka'),
  },
  KAFKA_GROUP: {
    meaning: 'consumer group of that; `muster-<function>` unless set',
    fallback: null,
    read: matching('a name of a consumer group', /^[\w.-]{1,249}$/),
  },
  TOPIC: {
    meaning:
      "topics with the change events of a function's tables, separated by commas; `<prefix>.*` stands for `<prefix>.<schema>.<table>` of each",
    fallback: null,
    read: listOf('names of topics', /^[\w.-]{1,249}(?:\.\*)?$/),
  },
  KAFKA_BROKERS: {
    meaning: 'Kafka bootstrap servers, host:port, separated by commas',
    fallback: null,
    read: listOf('host:port', /^(?:[\w.-]+|\[[\da-f:]+\]):\d{1,5}$/i),
  },
  KAFKA_TLS: { meaning: '`1`: connect to Kafka by TLS', fallback: '0', read: oneOf('0', '1') },
  KAFKA_CA_FILE: {
    meaning: 'certificates (PEM) that brokers are verified with; those of the system unless set',
    fallback: null,
    read: text,
  },
  KAFKA_CERT_FILE: {
    meaning: 'certificate (PEM) shown to brokers that ask for one',
    fallback: null,
    read: text,
  },
  KAFKA_KEY_FILE: { meaning: 'key (PEM) of that certificate', fallback: null, read: text },
  KAFKA_SASL_MECHANISM: {
    meaning: '`plain`, `scram-sha-256` or `scram-sha-512`: log in to Kafka',
    fallback: null,
    read: oneOf('plain', 'scram-sha-256', 'scram-sha-512'),
  },
  KAFKA_USERNAME: { meaning: 'who logs in to Kafka', fallback: null, read: text },
  KAFKA_PASSWORD: {
    meaning: 'password of that user',
    fallback: null,
    secret: true,
    read: text,
  },
  OIDC_ISSUER: {
    meaning: 'URL of the issuer whose tokens senders must show; anybody may post events unless set',
    fallback: null,
    read: url('https:'),
  },
  OIDC_AUDIENCE: {
    meaning: "audience that a token must be for: the source's `sink.audience`",
    fallback: null,
    read: text,
  },
  OIDC_SUBJECTS: {
    meaning: 'subjects that may post, separated by commas; all that have a token unless set',
    fallback: null,
    read: listOf('subjects of tokens', /^\S+$/),
  },
  OIDC_CA_FILE: {
    meaning: 'certificates (PEM) that the issuer is verified with; those of the system unless set',
    fallback: null,
    read: text,
  },
  OIDC_TOKEN_FILE: {
    meaning: "token to ask for the issuer's keys with, where it does not tell them to everybody",
    fallback: null,
    read: text,
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    meaning: "where traces and metrics go (OTLP); other `OTEL_` variables are OpenTelemetry's own",
    fallback: null,
    read: url('http:', 'https:'),
  },
  OTEL_SERVICE_NAME: {
    meaning: 'name of this process in traces and metrics',
    fallback: 'muster',
    read: text,
  },
  INSTANCE_ID: {
    meaning:
      'sent with readiness in the header `muster-instance`, by which the program that started this process recognizes it',
    fallback: null,
    read: matching('of at most 64 letters, digits, dots, dashes and underscores', /^[\w.-]{1,64}$/),
  },
  EXIT_WITH_STDIN: {
    meaning: '`1`: stop when standard input ends, for a parent process that may be killed',
    fallback: '0',
    read: oneOf('0', '1'),
  },
} as const satisfies Record<string, Setting>;

/** Name of a variable that Muster reads. */
export type Name = keyof typeof SETTINGS;
