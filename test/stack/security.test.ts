import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, expect, vi } from 'vitest';
import { muster } from '../cli/command.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { until } from '../support/until.ts';
import type { Pipeline } from './support/pipeline.ts';
import { startSecureBroker, USER, type SecureBroker } from './support/secure-broker.ts';
import { test } from './support/test.ts';

vi.setConfig({ testTimeout: 90_000 });

const PASSWORD = `canary ${randomUUID()}`;
let starting: Promise<SecureBroker> | undefined;

/** The broker of all tests in this file. */
function brokerOf({ stack }: Pipeline): Promise<SecureBroker> {
  return (starting ??= stack
    .install()
    .then((installation) => startSecureBroker(installation, stack.newFolder(), PASSWORD)));
}
afterAll(async () => (await starting)?.kill());

async function topicWith(broker: SecureBroker, ...values: string[]): Promise<string> {
  const topic = `secure-${randomUUID()}`;
  const kafka = new Kafka({ brokers: [broker.plain], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic }], waitForLeaders: true });
  await admin.disconnect();
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, messages: values.map((value) => ({ value })) });
  await producer.disconnect();
  return topic;
}

const tail = (env: Record<string, string>, brokers: string, topic: string) =>
  muster(env, ['tail', topic, '--brokers', brokers, '--raw', '--from-beginning', '--to-end']);

const login = (broker: SecureBroker, mechanism: string, password = PASSWORD) => ({
  KAFKA_TLS: '1',
  KAFKA_CA_FILE: broker.caFile,
  KAFKA_SASL_MECHANISM: mechanism,
  KAFKA_USERNAME: USER,
  KAFKA_PASSWORD: password,
});

test.for(['plain', 'scram-sha-256', 'scram-sha-512'])(
  'a topic is read over TLS with a user and password (%s)',
  async (mechanism, { pipeline }) => {
    const broker = await brokerOf(pipeline);
    const topic = await topicWith(broker, 'secret');
    expect(await tail(login(broker, mechanism), broker.sasl, topic)).toEqual({
      code: 0,
      stdout: '0:0\tnull\tsecret\n',
      stderr: expect.stringMatching(/^(kafka: .*\n)*$/) as string,
    });
  },
);

test('a projection is read over TLS with a user and password', async ({ pipeline, pull }) => {
  const broker = await brokerOf(pipeline);
  await pull.start(2, {}, { address: broker.plain });
  await pull.produce(1_000, 2);
  await pull.serve({ ...login(broker, 'scram-sha-512'), KAFKA_BROKERS: broker.sasl });
  await pull.until(1_000);
  expect(await pull.folded()).toEqual(pull.produced);
});

test('a topic is read over TLS with a certificate', async ({ pipeline }) => {
  const broker = await brokerOf(pipeline);
  const topic = await topicWith(broker, 'secret');
  const { certFile, keyFile } = broker.certificate();
  const env = {
    KAFKA_TLS: '1',
    KAFKA_CA_FILE: broker.caFile,
    KAFKA_CERT_FILE: certFile,
    KAFKA_KEY_FILE: keyFile,
  };
  expect(await tail(env, broker.mtls, topic)).toMatchObject({
    code: 0,
    stdout: '0:0\tnull\tsecret\n',
  });
});

test('events are published over TLS with a user and password', async ({ pipeline, db }) => {
  const broker = await brokerOf(pipeline);
  const topic = await topicWith(broker, 'first');
  const definition = pairOf({ handle: () => [{ type: 'pair.done' }] });
  const engine = await engineOn(db, [definition], {
    ...login(broker, 'scram-sha-512'),
    KAFKA_BROKERS: broker.sasl,
    SINK_TOPIC: topic,
  });
  for (const each of [partA('x'), partB('x')]) await engine.ingestor.ingest(each);
  await until(
    async () => (await db.query('select from muster.outbox where sent_at is not null')).length > 0,
  );
  await engine.stop();
  const { stdout } = await tail(login(broker, 'plain'), broker.sasl, topic);
  expect(stdout).toBe('0:0\tnull\tfirst\n0:1\tx\tnull\n');
});

test('events wait until a login that the brokers refuse is fixed', async ({ pipeline, db }) => {
  const broker = await brokerOf(pipeline);
  const topic = await topicWith(broker, 'first');
  const engine = await engineOn(db, [pairOf({ handle: () => [{ type: 'pair.done' }] })], {
    ...login(broker, 'scram-sha-512', 'wrong'),
    KAFKA_BROKERS: broker.sasl,
    SINK_TOPIC: topic,
  });
  for (const each of [partA('x'), partB('x')]) await engine.ingestor.ingest(each);
  expect(await until(() => engine.sinkTrouble(), 30_000)).toContain('refuses outgoing events');
  await engine.stop();
  expect(await db.query('select failed_at from muster.outbox')).toEqual([{ failed_at: null }]);
});

/** Clients and brokers to reject, with the expected message. */
const REFUSED: Record<
  string,
  [env: (broker: SecureBroker) => Record<string, string>, to: 'sasl' | 'mtls', why: RegExp]
> = {
  'a wrong password (plain)': [
    (broker) => login(broker, 'plain', 'wrong'),
    'sasl',
    /authentication/i,
  ],
  'a wrong password (scram)': [
    (broker) => login(broker, 'scram-sha-512', `wrong ${PASSWORD}`),
    'sasl',
    /authentication/i,
  ],
  'a broker certified by another authority': [
    (broker) => ({
      ...login(broker, 'plain'),
      KAFKA_CA_FILE: broker.certificate(true).certFile,
    }),
    'sasl',
    /certificate/,
  ],
  'no certificate': [
    (broker) => ({ KAFKA_TLS: '1', KAFKA_CA_FILE: broker.caFile }),
    'mtls',
    /certificate|alert|closed|disconnected/i,
  ],
  'a certificate of another authority': [
    (broker) => {
      const { certFile, keyFile } = broker.certificate(true);
      return {
        KAFKA_TLS: '1',
        KAFKA_CA_FILE: broker.caFile,
        KAFKA_CERT_FILE: certFile,
        KAFKA_KEY_FILE: keyFile,
      };
    },
    'mtls',
    /certificate|alert|closed|disconnected/i,
  ],
};

test.for(Object.entries(REFUSED))(
  'with %s nothing is read, and no password is shown',
  async ([, [env, to, why]], { pipeline }) => {
    const broker = await brokerOf(pipeline);
    const topic = await topicWith(broker, 'secret');
    const { code, stdout, stderr } = await tail(env(broker), broker[to], topic);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(why);
    expect(stderr).not.toContain(PASSWORD);
    expect(stderr).not.toContain(Buffer.from(PASSWORD).toString('base64'));
  },
);

test.for([
  ['the right login', {}, /^ {2}✓ reachable: 1 broker\n/m],
  [
    'a wrong password',
    { KAFKA_PASSWORD: 'canary' },
    /^ {2}✗ reachable: .*[Aa]uthentication.*\n {6}set KAFKA_SASL_MECHANISM, /m,
  ],
  [
    'no authority for its certificate',
    { KAFKA_CA_FILE: '' },
    /^ {2}✗ reachable: .*certificate.*\n {6}set KAFKA_TLS=1 and KAFKA_CA_FILE/m,
  ],
] as const)('the doctor recognises %s', async ([, more, expected], { pipeline }) => {
  const broker = await brokerOf(pipeline);
  const env = { ...login(broker, 'plain'), ...more };
  const { stdout } = await muster(env, ['doctor', '--no-cluster', '--brokers', broker.sasl]);
  expect(stdout).toMatch(expected);
  expect(stdout).not.toContain('canary');
});
