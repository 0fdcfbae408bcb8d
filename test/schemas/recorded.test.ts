import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isFramed, readFrame } from '../../src/schemas/frame.ts';
import { parseExact } from '../../src/lib/exact-json.ts';
import type { StoredSchema } from '../../src/schemas/registry.ts';
import { Schemas } from '../../src/schemas/schemas.ts';
import { withoutTimes } from './recorded.ts';
import { registryAt, startRegistry } from './server.ts';

const FOLDER = 'test/fixtures/avro';

interface Recorded {
  readonly avro: string;
  readonly json: string;
}

const schemas = JSON.parse(readFileSync(`${FOLDER}/schemas.json`, 'utf8')) as Record<
  string,
  StoredSchema
>;
const messages = readdirSync(FOLDER)
  .filter((name) => /^\d/.test(name))
  .map(
    (name) => [name, JSON.parse(readFileSync(`${FOLDER}/${name}`, 'utf8')) as Recorded] as const,
  );

test.for(messages)(
  '%s of Debezium in Avro equals the same change in JSON',
  async ([, { avro, json }]) => {
    const registry = await startRegistry(schemas);
    const bytes = Buffer.from(avro, 'base64');
    expect(isFramed(bytes)).toBe(true);
    expect(registry.schemas.has(`/schemas/ids/${readFrame(bytes)!.id}`)).toBe(true);
    const decoded = await new Schemas(registryAt(registry)).decode(bytes);
    expect(withoutTimes(decoded)).toEqual(withoutTimes(parseExact(json)));
  },
);

test('an insert, an update, a delete and a row of nulls are recorded', () => {
  expect(messages.map(([name]) => name)).toHaveLength(4);
});
