import { expect } from 'vitest';
import { EventIngestor } from '../../src/intake/ingest.ts';
import { readRecord } from '../../src/intake/cloudevents/kafka-record.ts';
import { Schemas } from '../../src/schemas/schemas.ts';
import { framed, long } from '../schemas/bytes.ts';
import { avroChange, CHANGE_SCHEMA } from '../schemas/change.ts';
import { registryAt, startRegistry, type TestRegistry } from '../schemas/server.ts';
import { Recorder, test } from './server.ts';

const PATH = '/schemas/ids/7';
const ID = 2n ** 53n + 1n;

const schemasOf = (registry: TestRegistry) => new Schemas(registryAt(registry), { restMs: 0 });

test('a change in Avro is ingested, with an exact key, and keeps its bytes', async ({ serve }) => {
  const registry = await startRegistry({ [PATH]: CHANGE_SCHEMA });
  const intake = new Recorder();
  const server = await serve(intake, { schemas: schemasOf(registry) });
  const body = framed(7, avroChange(ID));
  expect((await server.post(body)).status).toBe(204);
  const [change] = intake.ingested;
  expect(change).toMatchObject({ stream: 'public.item', op: 'c', lsn: 24023128n });
  expect(JSON.stringify(change!.kind === 'row' && change!.row)).toBe(`{"id":${ID},"k":"x"}`);
  expect(change!.origin.body).toEqual(body);
});

test('JSON, tombstones and events of other types need no registry', async ({ serve }) => {
  const registry = await startRegistry();
  const intake = new Recorder();
  const server = await serve(intake, { schemas: schemasOf(registry) });
  expect((await server.post('')).status).toBe(204);
  expect((await server.post('{}')).status).toBe(202);
  expect((await server.post(framed(7, long(1)), { 'ce-type': 'other' })).status).toBe(204);
  expect(registry.asked).toEqual([]);
});

test('while the registry does not answer, the sender retries, and no secret is logged', async ({
  serve,
}) => {
  const registry = await startRegistry({ [PATH]: CHANGE_SCHEMA });
  const login = { username: 'muster', password: 'pa55word', restMs: 0 };
  const intake = new Recorder();
  const schemas = new Schemas(registryAt(registry, login), { restMs: 0 });
  const server = await serve(intake, { schemas });
  const body = framed(7, avroChange(ID));
  registry.answer = { status: 401, body: '' };
  expect(await server.post(body)).toMatchObject({ status: 503, reason: 'schema-registry' });
  registry.answer = { status: 503, body: '' };
  expect(await server.post(body)).toMatchObject({ status: 503, reason: 'schema-registry' });
  await registry.stop();
  expect(await server.post(body)).toMatchObject({ status: 503, reason: 'schema-registry' });
  await registry.start();
  registry.answer = undefined;
  expect((await server.post(body)).status).toBe(204);
  expect(server.logged.map(({ error }) => error)).toEqual([
    expect.stringContaining('answered 401: check SCHEMA_REGISTRY_USERNAME'),
    expect.stringContaining('answered 503'),
    expect.stringContaining('ECONNREFUSED'),
  ]);
  expect(JSON.stringify(server.logged)).not.toMatch(/pa55word|bXVzdGVy/);
  expect(intake.parked).toEqual([]);
});

test('an event with an unknown schema, or of another one, is parked with what to do', async ({
  serve,
}) => {
  const registry = await startRegistry({ [PATH]: CHANGE_SCHEMA });
  const intake = new Recorder();
  const server = await serve(intake, { schemas: schemasOf(registry) });
  expect((await server.post(framed(8, avroChange(ID)))).status).toBe(202);
  expect((await server.post(framed(7, long(5)))).status).toBe(202);
  const header = { 'ce-kafkaheaderapicuriovalueglobalid': '7' };
  expect((await server.post(framed(9, long(5)), header)).status).toBe(202);
  expect(intake.parked).toEqual([
    expect.stringMatching(
      /^not-a-change: the body begins with the id of a schema, but its schema 8 is not in the registry: check that SCHEMA_REGISTRY_URL/,
    ),
    expect.stringMatching(/but it can't be read by its schema 7: /),
    expect.stringMatching(/headers\.enabled=false$/),
  ]);
});

test('a record in Avro is pulled, and retried while the registry does not answer', async () => {
  const registry = await startRegistry({ [PATH]: CHANGE_SCHEMA });
  const intake = new Recorder();
  const ingestor = new EventIngestor(intake, () => {}, schemasOf(registry));
  const place = { topic: 'items', partition: 0, offset: 1, headers: {} };
  const record = readRecord({ ...place, value: framed(7, avroChange(ID)) });
  registry.answer = { status: 500, body: '' };
  await expect(ingestor.ingestRecord(record, {})).rejects.toMatchObject({
    name: 'Unavailable',
    reason: 'schema-registry',
  });
  registry.answer = undefined;
  await ingestor.ingestRecord(record, {});
  expect(intake.ingested).toHaveLength(1);
});

test('a record in Avro of a topic that a part names is decoded for that part, exactly', async () => {
  const registry = await startRegistry({ [PATH]: CHANGE_SCHEMA });
  const intake = Object.assign(new Recorder(), { recordTopics: new Set(['items']) });
  const ingestor = new EventIngestor(intake, () => {}, schemasOf(registry));
  const place = { topic: 'items', partition: 0, offset: 1, headers: {} };
  await ingestor.ingestRecord(readRecord({ ...place, value: framed(7, avroChange(ID)) }), {});
  const [change] = intake.ingested;
  expect(change).toMatchObject({ kind: 'event', stream: 'topic items' });
  for (const isExact of [false, true]) {
    const data = change!.kind === 'event' ? change!.data(isExact) : null;
    expect(JSON.stringify(data)).toContain(`"after":{"id":${ID},"k":"x"}`);
  }
});
