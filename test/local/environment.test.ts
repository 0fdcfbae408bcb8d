import { expect } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { databaseId } from '../../src/local/dev-server/database.ts';
import { environmentOf, groupPrefixOf } from '../../src/local/dev-server/environment.ts';
import { test } from '../support/test.ts';

/** A shell in which the settings of production are set. */
const SHELL = {
  DATABASE_URL: 'postgres://production/state',
  HOST: '0.0.0.0',
  INTAKE: 'kafka',
  KAFKA_BROKERS: 'production:9092',
  KAFKA_GROUP: 'muster-orders',
  KAFKA_GROUP_PREFIX: 'muster-',
  KAFKA_USERNAME: 'me',
  KAFKA_PASSWORD: 'secret',
  KAFKA_SASL_MECHANISM: 'plain',
  TOPIC: 'production.*',
  K_SINK: 'https://production/sink',
  SINK_TOPIC: 'production.events',
  OIDC_ISSUER: 'https://production/issuer',
  OIDC_AUDIENCE: 'production',
  OIDC_SUBJECTS: 'production',
};
const databaseUrl = 'postgres://127.0.0.1/dev';

test('without --kafka no topic is read, whatever the shell has set', () => {
  const env = environmentOf(SHELL, { databaseUrl, kafka: null, groupPrefix: 'muster-dev-x-' });
  expect(readConfig(env)).toMatchObject({
    DATABASE_URL: databaseUrl,
    HOST: '127.0.0.1',
    INTAKE: 'http',
    SINK: 'stdout',
    K_SINK: null,
    SINK_TOPIC: null,
    OIDC_ISSUER: null,
  });
});

test("with --kafka the brokers, topics and groups are dev's, and the login is that of the shell", () => {
  const kafka = { brokers: 'localhost:9092', topics: 'shop.*' };
  const env = environmentOf(SHELL, { databaseUrl, kafka, groupPrefix: 'muster-dev-x-' });
  expect(readConfig(env)).toMatchObject({
    INTAKE: 'kafka',
    KAFKA_BROKERS: ['localhost:9092'],
    KAFKA_GROUP: null,
    KAFKA_GROUP_PREFIX: 'muster-dev-x-',
    KAFKA_USERNAME: 'me',
    KAFKA_PASSWORD: 'secret',
    KAFKA_SASL_MECHANISM: 'plain',
    TOPIC: ['shop.*'],
  });
});

test('each database has groups of its own, which stay the same', async ({ db }) => {
  const name = `other_${new URL(db.url).pathname.slice(1, 20)}`;
  await db.query(`create database ${name}`);
  const other = new URL(db.url);
  other.pathname = name;
  const id = await databaseId(db.url);
  expect(await databaseId(db.url)).toBe(id);
  expect(await databaseId(other.href)).not.toBe(id);
  expect(groupPrefixOf(id)).toMatch(/^muster-dev-[0-9a-f]{8}-$/);
});
