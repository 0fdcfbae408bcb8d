import { expect, onTestFinished } from 'vitest';
import { Schemas } from '../../src/schemas/schemas.ts';
import { framed } from '../schemas/bytes.ts';
import { avroChange, CHANGE_SCHEMA } from '../schemas/change.ts';
import { registryAt, startRegistry } from '../schemas/server.ts';
import { serverOn } from '../support/engine.ts';
import { pairOf } from '../support/pair.ts';
import { test } from '../support/test.ts';
import { muster, musterServe } from './command.ts';

const HEADERS = {
  'ce-specversion': '1.0',
  'ce-id': '1',
  'ce-source': '/test',
  'ce-type': 'dev.knative.kafka.event',
};

test('events wait for the registry, readiness names it, and redeliver reads parked ones again', async ({
  db,
}) => {
  const registry = await startRegistry();
  const env = { DATABASE_URL: db.url, FUNCTIONS: 'recordings', SINK: 'stdout' };
  const serving = await musterServe({
    ...env,
    SCHEMA_REGISTRY_URL: registry.url,
    SCHEMA_REGISTRY_USERNAME: 'muster',
    SCHEMA_REGISTRY_PASSWORD: 'pa55word',
  });
  onTestFinished(async () => {
    serving.kill('SIGKILL');
    await serving.exited;
  });
  const post = async (id: number) => {
    const body = framed(id, avroChange(1n));
    return (await fetch(serving.url, { method: 'POST', headers: HEADERS, body })).status;
  };
  const readiness = async () => {
    const response = await fetch(`${serving.url}/health/readiness`);
    return [response.status, await response.text()];
  };

  expect(await post(7)).toBe(202);
  expect(await readiness()).toEqual([200, 'ready']);
  registry.answer = { status: 401, body: '' };
  expect(await post(8)).toBe(503);
  expect(await readiness()).toEqual([
    200,
    expect.stringMatching(/^ready, but the schema registry .* answered 401: check SCHEMA_REGISTRY/),
  ]);
  expect(serving.stderr).toContain("the schema registry can't be used, events wait for it");

  registry.answer = undefined;
  registry.schemas.set('/schemas/ids/7', CHANGE_SCHEMA);
  registry.schemas.set('/schemas/ids/8', CHANGE_SCHEMA);
  await expect.poll(() => post(8), { timeout: 5_000, interval: 200 }).toBe(204);
  expect(await readiness()).toEqual([200, 'ready']);
  expect(await db.query('select reason, detail from muster.parked')).toEqual([
    { reason: 'not-a-change', detail: expect.stringContaining('its schema 7 is not in the') },
  ]);
  await expect
    .poll(() => muster(env, ['redeliver', '--to', serving.url]), { timeout: 15_000, interval: 500 })
    .toMatchObject({ stdout: expect.stringContaining('no function there uses it') });
  expect(serving.stderr).not.toContain('pa55word');
  const doctor = await muster({ ...env, SCHEMA_REGISTRY_URL: registry.url }, ['doctor', '--json']);
  expect(JSON.parse(doctor.stdout).findings).toContainEqual(
    expect.objectContaining({ check: 'registry.reachable', state: 'fine' }),
  );
}, 40_000);

test('an event that was parked for its schema is redelivered once the registry has it', async ({
  db,
}) => {
  const registry = await startRegistry();
  const schemas = new Schemas(registryAt(registry), { unknownMs: 50 });
  const items = { ...pairOf(), parts: { item: { table: 'public.item', key: 'k' } } };
  const server = await serverOn(db, [items], {}, schemas);
  onTestFinished(() => server.stop());
  const body = framed(7, avroChange(2n ** 53n + 1n));
  expect((await fetch(server.url, { method: 'POST', headers: HEADERS, body })).status).toBe(202);
  const redeliver = () => muster({ DATABASE_URL: db.url }, ['redeliver', '--to', server.url]);
  expect(await redeliver()).toMatchObject({ code: 1 });
  registry.schemas.set('/schemas/ids/7', CHANGE_SCHEMA);
  expect(await redeliver()).toMatchObject({ code: 0, stdout: '1 redelivered, 0 left\n' });
  expect(await db.query('select id from muster.member')).toEqual([{ id: '9007199254740993' }]);
});
