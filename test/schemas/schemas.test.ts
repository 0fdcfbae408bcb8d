import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { RegistryUnavailable } from '../../src/schemas/registry.ts';
import { Schemas } from '../../src/schemas/schemas.ts';
import { authority } from '../support/certificates.ts';
import { until } from '../support/until.ts';
import { framed, long, text } from './bytes.ts';
import { registryAt, startRegistry } from './server.ts';

const LONG = { schema: '"long"' };
const PATH = '/schemas/ids/7';

function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'muster-registry-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

test('events that arrive together with a new schema make one request for it', async () => {
  const registry = await startRegistry({ [PATH]: LONG });
  const schemas = new Schemas(registryAt(registry));
  const values = await Promise.all(
    Array.from({ length: 50 }, (_, i) => schemas.decode(framed(7, long(i)))),
  );
  expect(values).toEqual(Array.from({ length: 50 }, (_, i) => i));
  await schemas.decode(framed(7, long(1)));
  expect(registry.asked).toEqual([PATH]);
});

test('the least recently used schema is dropped', async () => {
  const ids = { '/schemas/ids/1': LONG, '/schemas/ids/2': LONG, '/schemas/ids/3': LONG };
  const registry = await startRegistry(ids);
  const schemas = new Schemas(registryAt(registry), { maxSchemas: 2 });
  for (const id of [1, 2, 1, 3, 1, 2]) await schemas.decode(framed(id, long(0)));
  expect(registry.asked.map((path) => path.at(-1))).toEqual(['1', '2', '3', '2']);
});

test('after a failure the registry is not asked for a moment, and its trouble is reported once', async () => {
  const registry = await startRegistry({ [PATH]: LONG });
  registry.answer = { status: 500, body: 'broken' };
  const troubles: string[] = [];
  const schemas = new Schemas(registryAt(registry), {
    restMs: 200,
    onTrouble: ({ message }) => void troubles.push(message),
  });
  const trouble = `the schema registry ${registry.url} answered 500 (${PATH})`;
  await expect(schemas.decode(framed(7, long(1)))).rejects.toThrow(trouble);
  await expect(schemas.decode(framed(8, long(1)))).rejects.toThrow(RegistryUnavailable);
  expect(registry.asked).toHaveLength(1);
  expect(schemas.trouble).toBe(trouble);
  registry.answer = undefined;
  await until(() => schemas.decode(framed(7, long(1))).catch(() => null));
  expect(schemas.trouble).toBeNull();
  expect(troubles).toEqual([trouble]);
});

test.for([
  [{ status: 401, body: '' }, 'answered 401: check SCHEMA_REGISTRY_USERNAME'],
  [{ status: 403, body: '' }, 'answered 403: check SCHEMA_REGISTRY_USERNAME'],
  [{ status: 429, body: '' }, 'answered 429 ('],
  [{ status: 302, body: '' }, 'answered 302: check the path of SCHEMA_REGISTRY_URL'],
  [{ status: 404, body: 'no such page' }, 'answered 404: check the path of SCHEMA_REGISTRY_URL'],
  [{ status: 404, body: '{"error_code":404}' }, 'answered 404: check the path'],
  [{ status: 200, body: '<html>' }, 'did not answer in JSON'],
  [{ status: 200, body: '{}' }, 'answered no schema'],
  [null, 'does not answer: no answer within 0.2 s'],
] as const)('an answer %j is a failure that may pass', async ([answer, why]) => {
  const registry = await startRegistry();
  registry.answer = answer;
  const schemas = new Schemas(registryAt(registry, { timeoutMs: 200 }));
  const failure = schemas.decode(framed(7, long(1)));
  await expect(failure).rejects.toThrow(RegistryUnavailable);
  await expect(failure).rejects.toThrow(why);
});

test('an id that no registry can have is rejected without a request', async () => {
  const registry = await startRegistry();
  const schemas = new Schemas(registryAt(registry));
  const decoded = schemas.decode(framed(2 ** 31, long(1)));
  await expect(decoded).rejects.toThrow('no registry has a schema 2147483648');
  expect(registry.asked).toEqual([]);
});

test('an unknown id is reported with what to check, and asked for again later', async () => {
  const registry = await startRegistry();
  const schemas = new Schemas(registryAt(registry), { unknownMs: 50 });
  const unknown = () => schemas.decode(framed(7, long(1)));
  await expect(unknown()).rejects.toThrow(/its schema 7 is not in the registry: check that/);
  await expect(unknown()).rejects.toThrow(/\.use-id=contentId/);
  expect(registry.asked).toHaveLength(1);
  expect(schemas.trouble).toBeNull();
  registry.schemas.set(PATH, LONG);
  expect(await until(() => unknown().catch(() => null))).toBe(1);
});

test('a schema that refers to a missing one is asked for again later', async () => {
  const references = [{ name: 'n.R', subject: 'r', version: 1 }];
  const record =
    '{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"long"}]}';
  const registry = await startRegistry({ [PATH]: { schema: '"n.R"', references } });
  const schemas = new Schemas(registryAt(registry), { unknownMs: 50 });
  const decode = () => schemas.decode(framed(7, long(1)));
  await expect(decode()).rejects.toThrow('it refers to r, version 1, which is missing');
  registry.schemas.set('/subjects/r/versions/1', { schema: record });
  expect(await until(() => decode().catch(() => null))).toEqual({ a: 1 });
});

test.for([
  [{ schema: '"nothing"' }, `its schema 7 can't be used: its type "nothing" is not defined`],
  [{ schema: '{"type":"record","name":"r","fields":[null]}' }, `its schema 7 can't be used: `],
  [{ schema: 'x', schemaType: 'XML' }, 'it is of the type XML, not AVRO, PROTOBUF or JSON'],
  [
    { schema: '"n.R"', references: [{ name: 'n.R', subject: 'r', version: 1 }] },
    'it refers to r, version 1, which is missing',
  ],
] as const)('the schema %j is reported', async ([stored, why]) => {
  const registry = await startRegistry({ [PATH]: stored });
  const schemas = new Schemas(registryAt(registry));
  await expect(schemas.decode(framed(7, long(1)))).rejects.toThrow(why);
});

test('data that does not match its schema, or is nested too deep, is reported with the id', async () => {
  const list = '{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}';
  const registry = await startRegistry({ [PATH]: LONG, '/schemas/ids/8': { schema: list } });
  const schemas = new Schemas(registryAt(registry));
  await expect(schemas.decode(framed(7, long(1), long(2)))).rejects.toThrow(
    "it can't be read by its schema 7: 1 bytes are left at the end",
  );
  await expect(schemas.decode(framed(8, Buffer.alloc(1_000_000, 2)))).rejects.toThrow(
    "it can't be read by its schema 8: nested too deep",
  );
});

test('an id of eight bytes is recognized', async () => {
  const schemas = new Schemas(registryAt(await startRegistry()));
  const eight = Buffer.concat([Buffer.alloc(8), Buffer.of(7), long(1)]);
  await expect(schemas.decode(eight)).rejects.toThrow(/that has 8 bytes.*as-confluent=true/);
});

test('referenced schemas, Protobuf and JSON Schema are decoded', async () => {
  const registry = await startRegistry({
    '/schemas/ids/1': {
      schema: '{"type":"array","items":"n.R"}',
      references: [{ name: 'n.R', subject: 'n/r', version: 2 }],
    },
    '/subjects/n%2Fr/versions/2': {
      schema: '{"type":"record","name":"n.R","fields":[{"name":"s","type":"n.S"}]}',
      references: [{ name: 'n.S', subject: 's', version: 1 }],
    },
    '/subjects/s/versions/1': { schema: '{"type":"enum","name":"n.S","symbols":["a"]}' },
    '/schemas/ids/2': {
      schema: 'syntax = "proto3"; message M { optional int64 id = 1; }',
      schemaType: 'PROTOBUF',
    },
    '/schemas/ids/3': { schema: '{}', schemaType: 'JSON' },
  });
  const schemas = new Schemas(registryAt(registry));
  expect(await schemas.decode(framed(1, Buffer.of(2, 0, 0)))).toEqual([{ s: 'a' }]);
  expect(await schemas.decode(framed(2, Buffer.of(0, 8, 5)))).toEqual({ id: 5 });
  const json = await schemas.decode(framed(3, Buffer.from('{"id":9007199254740993}')));
  expect(JSON.stringify(json)).toBe('{"id":9007199254740993}');
  await expect(schemas.decode(framed(3, text('{')))).rejects.toThrow(
    "it can't be read by its schema 3: not JSON",
  );
});

test('the registry is asked with a login, whose secret is in no message', async () => {
  const registry = await startRegistry({ [PATH]: LONG });
  const folder = folderOf({ token: 't0ken\n' });
  const basic = registryAt(registry, { username: 'muster', password: 'pa55:word' });
  await basic.schema(7);
  await registryAt(registry, { tokenFile: join(folder, 'token') }).schema(7);
  const login = Buffer.from('muster:pa55:word').toString('base64');
  expect(registry.asked).toEqual([`${PATH} Basic ${login}`, `${PATH} Bearer t0ken`]);
  await registry.stop();
  await expect(basic.schema(7)).rejects.toThrow(/^(?!.*pa55).*does not answer: .*ECONNREFUSED/);
  await registry.start();
});

test('the registry is verified with the given CA', async () => {
  const ca = authority('platform');
  const folder = folderOf({ 'ca.crt': ca.cert });
  const server = createServer(ca.issue('registry', '127.0.0.1'), (_, response) =>
    response.end(JSON.stringify(LONG)),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const caFile = join(folder, 'ca.crt');
  expect(await registryAt({ url }, { caFile }).schema(7)).toEqual(LONG);
  await expect(registryAt({ url }).schema(7)).rejects.toThrow(/does not answer: .*certificate/);
});
