import { expect, test } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { registryOptionsOf } from '../../src/config/schema-registry.ts';
import { registryGroup } from '../../src/doctor/registry.ts';
import { startRegistry } from '../schemas/server.ts';

test('the doctor checks that the schema registry answers, and suggests what to set', async () => {
  const registry = await startRegistry();
  const config = readConfig({
    DATABASE_URL: 'postgres://unnamed',
    SCHEMA_REGISTRY_URL: registry.url,
  });
  const results = async () => (await registryGroup(registryOptionsOf(config)!)).results;
  expect(await results()).toEqual([
    {
      check: 'registry.reachable',
      title: 'reachable',
      state: 'fine',
      message: expect.stringMatching(/^AVRO, PROTOBUF, in \d+ ms$/),
    },
  ]);
  registry.answer = { status: 403, body: '' };
  expect(await results()).toMatchObject([
    { state: 'problem', remedy: expect.stringMatching(/^set SCHEMA_REGISTRY_USERNAME/) },
  ]);
  registry.answer = { status: 404, body: '' };
  expect(await results()).toMatchObject([
    {
      state: 'problem',
      message: expect.stringContaining('/apis/ccompat/v7'),
      remedy: expect.stringMatching(/^correct SCHEMA_REGISTRY_URL/),
    },
  ]);
  await registry.stop();
  expect(await results()).toMatchObject([
    { state: 'problem', message: expect.stringContaining('ECONNREFUSED') },
  ]);
  await registry.start();
});
