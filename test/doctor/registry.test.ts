import { expect, test } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { registryGroup } from '../../src/doctor/registry.ts';
import { startRegistry } from '../schemas/server.ts';

const CONFIG = readConfig({ DATABASE_URL: 'postgres://unnamed' });

test('the doctor checks that the schema registry answers, and suggests what to set', async () => {
  const registry = await startRegistry();
  const results = async () => (await registryGroup(CONFIG, registry.url)).results;
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
