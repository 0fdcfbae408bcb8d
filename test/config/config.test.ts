import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  ConfigError,
  readConfig,
  readKafkaConfig,
  type Config,
  misspeltSettings,
} from '../../src/config/config.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { knownFunctions } from '../../src/definitions/function-files.ts';

const DATABASE_URL = 'postgres://muster:pa55word@db.example:5432/state';

const LOGIN = {
  KAFKA_SASL_MECHANISM: 'plain',
  KAFKA_USERNAME: 'muster',
  KAFKA_PASSWORD: 'pa55word',
};
const REGISTRY = {
  SCHEMA_REGISTRY_URL: 'http://registry',
  SCHEMA_REGISTRY_USERNAME: 'muster',
  SCHEMA_REGISTRY_PASSWORD: 'pa55word',
};
const ISSUER = 'https://kubernetes.default.svc';
const OIDC = { OIDC_ISSUER: ISSUER, OIDC_AUDIENCE: 'muster' };

/** Valid values with what they are parsed to, and invalid ones, for every setting. */
const VALUES: {
  readonly [N in keyof typeof SETTINGS]: {
    readonly good: readonly (readonly [text: string, value: Config[N]])[];
    readonly bad: readonly string[];
    /** Other settings that this one requires. */
    readonly beside?: Readonly<Record<string, string>>;
  };
} = {
  DATABASE_URL: {
    good: [
      [DATABASE_URL, DATABASE_URL],
      ['postgresql://localhost/state', 'postgresql://localhost/state'],
      ['postgres:///state?host=/run/postgresql', 'postgres:///state?host=/run/postgresql'],
    ],
    bad: ['mysql://db/state', 'localhost:5432', 'state', 'http://db/state'],
  },
  FUNCTIONS: {
    good: [
      ['recordings', ['recordings']],
      [' recordings , recordings', ['recordings', 'recordings']],
    ],
    bad: ['Recordings', 'recordings,', 'recordings;other', '../recordings', 'a b'],
  },
  FUNCTIONS_FOLDER: { good: [['lib/handlers', 'lib/handlers']], bad: [] },
  HOST: {
    good: [
      ['127.0.0.1', '127.0.0.1'],
      ['::', '::'],
    ],
    bad: [],
  },
  PORT: {
    good: [
      ['0', 0],
      ['65535', 65_535],
    ],
    bad: ['65536', '-1', '80.5', 'http', '0x50', '1e3', '８０'],
  },
  LOG_LEVEL: {
    good: [
      ['silent', 'silent'],
      ['trace', 'trace'],
    ],
    bad: ['verbose', 'INFO', '30'],
  },
  CONCURRENCY: ofCount('1', '1000', ['0', '1001']),
  SET_LIMIT_MIB: ofCount('1', '1024', ['0', '1025', '64MiB']),
  WRITERS: ofCount('1', '16', ['0', '17']),
  QUEUE_MIB: ofCount('1', '4096', ['0', '4097', '64MiB']),
  BODY_LIMIT_MIB: ofCount('1', '512', ['0', '513', '16Mi']),
  REQUEST_TIMEOUT_SECONDS: ofCount('1', '3600', ['0', '3601', '60s']),
  CONNECTION_REQUESTS: ofCount('1', '1000000', ['0', '1000001', 'many']),
  CONNECTION_SECONDS: ofCount('1', '3600', ['0', '3601', '5s']),
  STATEMENT_TIMEOUT_SECONDS: ofCount('1', '600', ['0', '601', '-15']),
  LEASE_SECONDS: ofCount('1', '600', ['0', '601', '10.5']),
  CLAIM_SECONDS: ofCount('1', '60', ['0', '61']),
  DEADLINE_GRACE_SECONDS: ofCount('0', '3600', ['-1', '3601']),
  DRAIN_SECONDS: ofCount('0', '3600', ['-1', '3601', 'PT25S']),
  TOMBSTONE_DAYS: ofCount('1', '3650', ['0', '3651', '30d']),
  PARKED_DAYS: ofCount('1', '3650', ['0', '3651', '90d']),
  K_SINK: {
    good: [
      ['http://broker.example/orders', 'http://broker.example/orders'],
      ['https://broker.example', 'https://broker.example'],
    ],
    bad: ['kafka://broker', 'broker.example', '//broker.example'],
  },
  K_CE_OVERRIDES: {
    good: [
      ['{"extensions": {"region": "eu1"}}', { region: 'eu1' }],
      ['{"extensions": {}}', {}],
      ['{}', {}],
    ],
    bad: [
      'region=eu1',
      '{"extensions": "eu1"}',
      '{"extensions": {"Region": "eu1"}}',
      '{"extensions": {"region": 1}}',
      '{"extensions": ["eu1"]}',
      '{"extensions": {"type": "other.type"}}',
      '{"extensions": {"specversion": "0.3"}}',
      '{"extensions": {"data": "mine"}}',
      '{"extensions": {"traceparent": "00-1-1-01"}}',
      '{"extensions": {"region": ""}}',
      String.raw`{"extensions": {"region": "eu\n1"}}`,
      String.raw`{"extensions": {"region": "\ud800"}}`,
    ],
  },
  SINK_TOPIC: {
    good: [
      ['recordings.processed', 'recordings.processed'],
      ['A_1-b', 'A_1-b'],
    ],
    bad: ['a b', 'a/b', 'ä', 'x'.repeat(250)],
    beside: { KAFKA_BROKERS: 'kafka:9092' },
  },
  SINK: { good: [['stdout', 'stdout']], bad: ['stderr', 'STDOUT', 'none'] },
  INTAKE: {
    good: [
      ['http', 'http'],
      ['kafka', 'kafka'],
    ],
    bad: ['HTTP', 'kafka,http', 'pull'],
    beside: { KAFKA_BROKERS: 'kafka:9092' },
  },
  SOURCE_DATABASE_URL: {
    good: [['postgres://source/shop', 'postgres://source/shop']],
    bad: ['mysql://source/shop', 'source:5432'],
  },
  WAL_SLOT: {
    good: [['shop_2', 'shop_2']],
    bad: ['Shop', '2shop', 'shop-2', 'x'.repeat(51)],
  },
  KAFKA_GROUP: { good: [['muster.recordings-2', 'muster.recordings-2']], bad: ['a b', 'a,b', 'ä'] },
  KAFKA_GROUP_PREFIX: { good: [['staging-', 'staging-']], bad: ['a b', 'a,b', 'ä'] },
  TOPIC: {
    good: [
      ['postgres.datastore.signal', ['postgres.datastore.signal']],
      ['changes, postgres.*', ['changes', 'postgres.*']],
    ],
    bad: ['a b', 'a,,b', '*', 'postgres.*.signal', 'ä'],
  },
  KAFKA_BROKERS: {
    good: [
      ['kafka:9092', ['kafka:9092']],
      ['10.0.0.1:9092 , [::1]:9093', ['10.0.0.1:9092', '[::1]:9093']],
    ],
    bad: ['kafka', 'kafka:', 'kafka:9092;b:9092', 'kafka://kafka:9092', 'kafka:9092,'],
  },
  KAFKA_TLS: {
    good: [
      ['0', '0'],
      ['1', '1'],
    ],
    bad: ['true', 'yes'],
  },
  KAFKA_CA_FILE: { good: [['/tls/ca.crt', '/tls/ca.crt']], bad: [], beside: { KAFKA_TLS: '1' } },
  KAFKA_CERT_FILE: {
    good: [['/tls/user.crt', '/tls/user.crt']],
    bad: [],
    beside: { KAFKA_TLS: '1', KAFKA_KEY_FILE: '/tls/user.key' },
  },
  KAFKA_KEY_FILE: {
    good: [['/tls/user.key', '/tls/user.key']],
    bad: [],
    beside: { KAFKA_TLS: '1', KAFKA_CERT_FILE: '/tls/user.crt' },
  },
  KAFKA_SASL_MECHANISM: {
    good: [
      ['plain', 'plain'],
      ['scram-sha-512', 'scram-sha-512'],
    ],
    bad: ['PLAIN', 'scram', 'gssapi'],
    beside: LOGIN,
  },
  KAFKA_USERNAME: { good: [['muster', 'muster']], bad: [], beside: LOGIN },
  KAFKA_PASSWORD: { good: [['pa55word', 'pa55word']], bad: [], beside: LOGIN },
  SCHEMA_REGISTRY_URL: {
    good: [['https://registry/apis/ccompat/v7', 'https://registry/apis/ccompat/v7']],
    bad: ['registry:8081', 'ftp://registry', '//registry'],
  },
  SCHEMA_REGISTRY_USERNAME: { good: [['muster', 'muster']], bad: [], beside: REGISTRY },
  SCHEMA_REGISTRY_PASSWORD: { good: [['pa55word', 'pa55word']], bad: [], beside: REGISTRY },
  SCHEMA_REGISTRY_TOKEN_FILE: {
    good: [['/token', '/token']],
    bad: [],
    beside: { SCHEMA_REGISTRY_URL: 'http://registry' },
  },
  SCHEMA_REGISTRY_CA_FILE: { good: [['/tls/ca.crt', '/tls/ca.crt']], bad: [], beside: REGISTRY },
  OIDC_ISSUER: {
    good: [[ISSUER, ISSUER]],
    bad: ['http://kubernetes.default.svc', 'kubernetes.default.svc'],
    beside: { OIDC_AUDIENCE: 'muster' },
  },
  OIDC_AUDIENCE: { good: [['muster', 'muster']], bad: [], beside: { OIDC_ISSUER: ISSUER } },
  OIDC_SUBJECTS: {
    good: [['system:serviceaccount:a:b, c', ['system:serviceaccount:a:b', 'c']]],
    bad: ['a,', 'a b'],
    beside: OIDC,
  },
  OIDC_CA_FILE: { good: [['/tls/ca.crt', '/tls/ca.crt']], bad: [], beside: OIDC },
  OIDC_TOKEN_FILE: { good: [['/token', '/token']], bad: [], beside: OIDC },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    good: [['http://collector.observability:4318', 'http://collector.observability:4318']],
    bad: ['collector:4317', 'grpc://collector:4317'],
  },
  OTEL_SERVICE_NAME: { good: [['recordings', 'recordings']], bad: [] },
  INSTANCE_ID: {
    good: [['5b0c.a_b-1', '5b0c.a_b-1']],
    bad: ['a b', 'ü', 'x'.repeat(65)],
  },
  EXIT_WITH_STDIN: {
    good: [
      ['0', '0'],
      ['1', '1'],
    ],
    bad: ['true', 'yes', '2'],
  },
};

const GOOD = Object.entries(VALUES).flatMap(([name, { good, beside }]) =>
  good.map(([text, value]) => ({ name, text, value, beside })),
);
const BAD = Object.entries(VALUES).flatMap(([name, { bad, beside }]) =>
  bad.map((text) => ({
    name,
    text,
    beside,
    echo: name.endsWith('DATABASE_URL') ? '' : `, not '${text}'`,
  })),
);

test.each(GOOD)('$name accepts $text', ({ name, text, value, beside }) => {
  expect(readConfig({ DATABASE_URL, ...beside, [name]: text })).toHaveProperty(name, value);
});

test.each(BAD)('$name rejects $text', ({ name, text, echo, beside }) => {
  const problems = problemsOf({ DATABASE_URL, ...beside, [name]: text });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatch(new RegExp(`^${name} must be `));
  expect(problems[0]).toContain(echo);
});

test('a setting that is absent or blank has its default', () => {
  const defaults = readConfig({ DATABASE_URL });
  for (const [name, { fallback, read }] of Object.entries(SETTINGS)) {
    if (name === 'DATABASE_URL' || name === 'FUNCTIONS') continue;
    expect(defaults).toHaveProperty(name, fallback === null ? null : read(fallback));
  }
  expect(defaults.FUNCTIONS).toEqual(knownFunctions());
  expect(defaults.FUNCTIONS).toContain('recordings');
  const empty = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, '  ']));
  expect(readConfig({ ...empty, DATABASE_URL })).toEqual(defaults);
});

test('the configuration is frozen', () => {
  expect(Object.isFrozen(readConfig({ DATABASE_URL }))).toBe(true);
});

test('one message lists the problems of all settings', () => {
  const worst = Object.entries(VALUES).flatMap(([name, { bad }]) =>
    bad[0] === undefined ? [] : [[name, bad[0]] as const],
  );
  const problems = problemsOf(Object.fromEntries(worst));
  expect(problems.map((problem) => problem.split(' ', 1)[0])).toEqual(worst.map(([name]) => name));
});

test('a missing database URL is reported with its form', () => {
  expect(problemsOf({})).toEqual([
    'DATABASE_URL is not set: postgres://user:password@host:port/database',
  ]);
});

test('an unknown function is reported with the known ones', () => {
  expect(problemsOf({ DATABASE_URL, FUNCTIONS: 'recordings,nope' })).toEqual([
    `FUNCTIONS names 'nope', which is not in functions/ (${knownFunctions().join(', ')})`,
  ]);
});

test.each([
  [{ SINK_TOPIC: 't' }, 'SINK_TOPIC is set, so KAFKA_BROKERS must be too'],
  [{ KAFKA_CA_FILE: 'ca' }, 'KAFKA_CA_FILE is set, so KAFKA_TLS must be too'],
  [
    { KAFKA_TLS: '1', KAFKA_KEY_FILE: 'k' },
    'KAFKA_KEY_FILE is set, so KAFKA_CERT_FILE must be too',
  ],
  [
    { KAFKA_SASL_MECHANISM: 'plain', KAFKA_PASSWORD: 'p' },
    'KAFKA_SASL_MECHANISM is set, so KAFKA_USERNAME must be too',
  ],
  [{ KAFKA_PASSWORD: 'p' }, 'KAFKA_PASSWORD is set, so KAFKA_SASL_MECHANISM must be too'],
  [{ OIDC_ISSUER: ISSUER }, 'OIDC_ISSUER is set, so OIDC_AUDIENCE must be too'],
  [
    { SCHEMA_REGISTRY_TOKEN_FILE: '/token' },
    'SCHEMA_REGISTRY_TOKEN_FILE is set, so SCHEMA_REGISTRY_URL must be too',
  ],
  [
    { SCHEMA_REGISTRY_URL: 'http://registry', SCHEMA_REGISTRY_USERNAME: 'm' },
    'SCHEMA_REGISTRY_USERNAME is set, so SCHEMA_REGISTRY_PASSWORD must be too',
  ],
  [
    { ...REGISTRY, SCHEMA_REGISTRY_TOKEN_FILE: '/token' },
    'SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_TOKEN_FILE are both set: a request has only one login',
  ],
  [{ OIDC_SUBJECTS: 'a' }, 'OIDC_SUBJECTS is set, so OIDC_ISSUER must be too'],
])('a setting without the one it requires is reported: %o', (env, problem) => {
  expect(problemsOf({ DATABASE_URL, ...env })).toEqual([problem]);
});

test('INTAKE=kafka requires brokers', () => {
  expect(problemsOf({ DATABASE_URL, INTAKE: 'kafka' })).toEqual([
    'INTAKE is kafka, so KAFKA_BROKERS must be set',
  ]);
});

test('INTAKE=wal requires a source', () => {
  expect(problemsOf({ DATABASE_URL, INTAKE: 'wal' })).toEqual([
    'INTAKE is wal, so SOURCE_DATABASE_URL must be set',
  ]);
  const env = { DATABASE_URL, INTAKE: 'wal', SOURCE_DATABASE_URL: 'mysql://shop:pa55word@db/shop' };
  expect(problemsOf(env)).toEqual([
    'SOURCE_DATABASE_URL must be a URL that begins with postgres:// or postgresql://',
  ]);
});

test('more than one sink is rejected', () => {
  const env = { K_SINK: 'http://sink', SINK_TOPIC: 't', KAFKA_BROKERS: 'kafka:9092' };
  expect(problemsOf({ DATABASE_URL, ...env })).toEqual([
    'SINK_TOPIC and K_SINK are both set: events can go to only one of them',
  ]);
  expect(problemsOf({ DATABASE_URL, K_SINK: 'http://sink', SINK: 'stdout' })).toEqual([
    'K_SINK and SINK are both set: events can go to only one of them',
  ]);
});

test('an extension that would make every event invalid is rejected at the start', () => {
  const extensions = { region: 'eu1', source: 'https://mine.example' };
  expect(problemsOf({ DATABASE_URL, K_CE_OVERRIDES: JSON.stringify({ extensions }) })).toEqual([
    `K_CE_OVERRIDES must be {"extensions": {"name": "text"}}: 'source' is an attribute that Muster sets itself, not '{"extensions":{"region":"eu1","source":"https://mine.example"}}'`,
  ]);
});

test('the settings of Kafka are read without a database', () => {
  expect(readKafkaConfig({ KAFKA_BROKERS: 'kafka:9092', PORT: 'x' })).toEqual({
    KAFKA_GROUP: null,
    KAFKA_GROUP_PREFIX: 'muster-',
    KAFKA_BROKERS: ['kafka:9092'],
    KAFKA_TLS: '0',
    KAFKA_CA_FILE: null,
    KAFKA_CERT_FILE: null,
    KAFKA_KEY_FILE: null,
    KAFKA_SASL_MECHANISM: null,
    KAFKA_USERNAME: null,
    KAFKA_PASSWORD: null,
  });
  expect(() => readKafkaConfig({ KAFKA_BROKERS: 'kafka' })).toThrow(ConfigError);
});

test('no part of the database URL appears in the message', () => {
  const wrong = [
    'mysql://muster:pa55word@db.example/state',
    'postgres//muster:pa55word@db.example',
  ];
  for (const url of wrong) {
    const message = problemsOf({ DATABASE_URL: url, PORT: 'x' }).join('\n');
    expect(message).toMatch(/^DATABASE_URL must be a URL that begins with postgres:/m);
    for (const secret of [url, 'pa55word', 'db.example', 'muster:']) {
      expect(message).not.toContain(secret);
    }
  }
});

test('a password in the URL of a sink is rejected and not repeated', () => {
  for (const url of [
    'https://muster:pa55word@broker.example',
    'htp://muster:pa55word@broker.example',
  ]) {
    const problems = problemsOf({ DATABASE_URL, K_SINK: url });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^K_SINK must /);
    expect(problems[0]).not.toContain('pa55word');
  }
});

test('the documented table of settings equals the code', () => {
  const documented = readFileSync('docs/configuration.md', 'utf8');
  const rows = [...documented.matchAll(/^\| `([A-Z_]+)` +\| (.*?) +\| (.*?) +\|$/gm)];
  expect(rows.map(([, name, fallback, description]) => ({ name, fallback, description }))).toEqual(
    Object.entries(SETTINGS).map(([name, { fallback, description }]) => ({
      name,
      fallback: fallback === null ? '' : `\`${fallback}\``,
      description,
    })),
  );
});

function ofCount(min: string, max: string, bad: readonly string[]) {
  return {
    good: [
      [min, Number(min)],
      [max, Number(max)],
    ] as const,
    bad: [...bad, 'many', '1,000', '1 2'],
  };
}

/** Lines of the message after its heading. */
function problemsOf(env: Record<string, string>): string[] {
  let caught: unknown;
  try {
    readConfig(env);
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(ConfigError);
  const [head, ...problems] = (caught as ConfigError).message.split('\n');
  expect(head).toBe('invalid configuration:');
  return problems.map((problem) => problem.trim());
}

test('an unusable file of an OpenTelemetry variable is reported at the start', () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-otlp-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'not.pem');
  writeFileSync(path, 'no certificate');
  const env = { DATABASE_URL: 'postgres://localhost/muster' };
  for (const signal of ['', 'TRACES_', 'METRICS_']) {
    for (const [file, what] of [
      ['CERTIFICATE', 'a certificate'],
      ['CLIENT_CERTIFICATE', 'a certificate'],
      ['CLIENT_KEY', 'a private key'],
    ]) {
      const name = `OTEL_EXPORTER_OTLP_${signal}${file}`;
      const failing = (value: string) => () => readConfig({ ...env, [name]: value });
      expect(failing('/nowhere.pem')).toThrow(
        `${name} names '/nowhere.pem', which can't be read: ENOENT`,
      );
      expect(failing(folder)).toThrow(`${name} names '${folder}', which can't be read: EISDIR`);
      expect(failing(path)).toThrow(`${name} names '${path}', which does not hold ${what} in PEM`);
      expect(() => readConfig({ ...env, [name]: path, OTEL_SDK_DISABLED: 'true' })).not.toThrow();
    }
  }
});

test('a variable that is nearly a setting is reported, and others are not', () => {
  const env = {
    CONCURENCY: '3',
    LEASE_SECOND: '1',
    CONCURRENCY: '3',
    PATH: '/bin',
    HOSTNAME: 'pod-1',
    K_SERVICE: 'recordings',
    KUBERNETES_PORT: 'tcp://10.0.0.1:443',
    OTEL_TRACES_EXPORTER: 'otlp',
  };
  expect(misspeltSettings(env)).toEqual([
    'CONCURENCY is not a setting; did you mean CONCURRENCY?',
    'LEASE_SECOND is not a setting; did you mean LEASE_SECONDS?',
  ]);
});
