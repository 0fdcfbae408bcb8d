import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { parseExact } from '../../src/lib/exact-json.ts';
import { Registry } from '../../src/schemas/registry.ts';
import { Schemas } from '../../src/schemas/schemas.ts';
import { TRACES } from '../chaos/functions.ts';
import { framed } from '../schemas/bytes.ts';
import { avroChange, KIND_SCHEMA } from '../schemas/change.ts';
import { startRegistry } from '../schemas/server.ts';
import type { TestProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { lagOf } from './support/topic.ts';
import { test } from './support/avro.ts';
import type { Pipeline } from './support/pipeline.ts';
import { withoutTimes } from '../schemas/recorded.ts';

const SERVE = fileURLToPath(new URL('../chaos/serve.ts', import.meta.url));

const FLATTENED = {
  transforms: 'unwrap',
  'transforms.unwrap.type': 'io.debezium.transforms.ExtractNewRecordState',
  'transforms.unwrap.delete.tombstone.handling.mode': 'rewrite',
  'transforms.unwrap.add.fields': 'op,table,lsn,schema,name,connector,snapshot,source.ts_ms',
};

/** Types whose values Avro and JSON write differently, or could lose, each with a value. */
const COLUMNS: readonly [type: string, value: string | null][] = [
  ['bigint', '9007199254740993'],
  ['bigint', '-9223372036854775808'],
  ['bigint', null],
  ['smallint', '-7'],
  ['real', '0.1'],
  ['real', 'NaN'],
  ['double precision', '0.1'],
  ['double precision', '-Infinity'],
  ['numeric', '12345678901234567890.5'],
  ['numeric(10,2)', '42'],
  ['boolean', 'true'],
  ['bytea', String.raw`\x00ff10`],
  ['colour', 'red'],
  ['uuid', '8e7b8b44-2d84-4ae6-8f8e-2d3b1a4c5d6e'],
  ['jsonb', '{"a": 9007199254740993}'],
  ['text', 'ein Wort, 🙂, \ufeff'],
  ['text[]', '{a,NULL,b}'],
  ['bigint[]', '{9007199254740993,1}'],
  ['hstore', 'a=>1,b=>NULL'],
  ['date', '2026-05-01'],
  ['time', '10:00:00.123456'],
  ['timestamp', '2026-05-01 10:00:00.123456'],
  ['timestamptz', '2026-05-01 10:00+02'],
  ['point', '(1,2)'],
];

test.for([
  ['an envelope', {}],
  ['a flat row', FLATTENED],
] as const)(
  'a change that Debezium writes in Avro as %s is ingested from a KafkaSource',
  { timeout: 120_000 },
  async ([, config], { pipeline, avro }) => {
    const { registry, connect } = await avro();
    pipeline.env = { SCHEMA_REGISTRY_URL: registry.url };
    await pipeline.prepare();
    await Promise.all([
      pipeline.addConnector(connect, { ...registry.avro, ...config }),
      pipeline.startSource(),
    ]);
    await complete(pipeline);
  },
);

test('changes in Avro are pulled from Kafka', { timeout: 120_000 }, async ({ pipeline, avro }) => {
  const { registry, connect } = await avro();
  pipeline.env = {
    SCHEMA_REGISTRY_URL: registry.url,
    INTAKE: 'kafka',
    KAFKA_BROKERS: (await pipeline.stack.broker()).address,
    KAFKA_GROUP: pipeline.name,
    TOPIC: pipeline.topic,
  };
  await pipeline.prepare();
  await pipeline.addConnector(connect, registry.avro);
  await complete(pipeline);
});

test(
  'records wait for the registry although the process is killed, and readiness names it',
  { timeout: 60_000 },
  async ({ pull }) => {
    const registry = await startRegistry({ '/schemas/ids/7': KIND_SCHEMA });
    registry.answer = { status: 503, body: '' };
    await pull.start(1);
    await pull.db.query(TRACES);
    const values = ['a', 'b'].map((kind, i) => framed(7, avroChange(BigInt(i), 'x', kind)));
    await pull.send(values.map((value) => ({ value })));
    const env = { TOPIC: pull.topic, FUNCTIONS: '', KAFKA_GROUP: '', LEASE_SECONDS: '2' };
    const start = () => pull.serve({ ...env, SCHEMA_REGISTRY_URL: registry.url }, SERVE);
    const waiting = `partition 0 of ${pull.topic} can't be handled: the schema registry ${registry.url} answered 503`;
    const waits = (serving: TestProcess) =>
      until(async () => {
        const { status, text } = await pull.health(serving);
        return status === 503 && text.startsWith(waiting);
      }, 20_000);
    const doomed = await start();
    await waits(doomed);
    expect(await lagOf(pull.kafka, pull.topic, 'muster-pair')).toBe(2n);
    doomed.kill('SIGKILL');
    const serving = await start();
    await waits(serving);
    expect(await lagOf(pull.kafka, pull.topic, 'muster-pair')).toBe(2n);
    registry.answer = undefined;
    await until(async () => (await lagOf(pull.kafka, pull.topic, 'muster-pair')) === 0n, 20_000);
    await until(async () => (await pull.health(serving)).status === 200, 10_000);
    await until(async () => (await pull.db.query('select from effect')).length > 0);
    expect(await pull.db.query('select run from effect')).toEqual([{ run: 'pair/x/1' }]);
  },
);

/** Changes rows in every way, and compares the processed sets with the table. */
async function complete(pipeline: Pipeline): Promise<void> {
  const [first, second] = pipeline.pair();
  const [gone, other] = pipeline.pair();
  await pipeline.insert(first, gone, second, ...pipeline.pair());
  await pipeline.client.query('update datastore.signal set sample_resolution_in_unit = 2');
  await pipeline.client.query('delete from datastore.signal where id = $1', [gone.id]);
  await pipeline.insert(other);
  expect(await pipeline.settled()).toMatchObject({
    complete: 3,
    processed: 3,
    twice: 0,
    missing: 0,
  });
  expect(await pipeline.db.query('select reason, detail from muster.parked')).toEqual([]);
  const records = await pipeline.records();
  expect(records.filter(({ bytes }) => bytes !== null && bytes[0] !== 0)).toEqual([]);
}

test(
  'what is decoded from Avro equals what JsonConverter writes',
  { timeout: 120_000 },
  async ({ pipeline, avro }) => {
    const { registry, connect } = await avro();
    await pipeline.prepare();
    const columns = COLUMNS.map(([type], i) => `c${i} ${type}`);
    await pipeline.client.query(`
      create extension hstore;
      create type colour as enum ('red', 'green');
      create table every (id bigint primary key, ${columns.join(', ')});
      alter table every replica identity full`);
    const broker = await pipeline.stack.broker();
    const json = `${pipeline.name}_json`;
    const [avroTopic, jsonTopic] = [`${pipeline.name}.public.every`, `${json}.public.every`];
    await broker.createTopic(avroTopic, 1);
    await broker.createTopic(jsonTopic, 1);
    const common = {
      'table.include.list': 'public.every',
      'column.exclude.list': '',
      'hstore.handling.mode': 'map',
      'heartbeat.interval.ms': '0',
    };
    await pipeline.addConnector(connect, { ...common, ...registry.avro });
    const other = pipeline.connector({
      ...common,
      'topic.prefix': json,
      'slot.name': json,
      'publication.name': json,
    });
    await connect.add({ ...other, name: json });
    try {
      const places = COLUMNS.map((_, i) => `$${i + 1}`).join(', ');
      const values = COLUMNS.map(([, value]) => value);
      await pipeline.client.query(`insert into every values (9007199254740993, ${places})`, values);
      await pipeline.client.query('insert into every values (2)');
      await pipeline.client.query('update every set c0 = 9007199254740995 where id > 2');
      await pipeline.client.query('delete from every where id = 2');
      const count = async (topic: string) => (await pipeline.records(topic)).length;
      await until(async () => (await count(avroTopic)) + (await count(jsonTopic)) === 10, 40_000);
    } finally {
      await connect.remove(json);
    }

    const login = { username: null, password: null, tokenFile: null, caFile: null };
    const schemas = new Schemas(new Registry({ url: registry.url, ...login }));
    const [inAvro, inJson] = await Promise.all([
      pipeline.records(avroTopic),
      pipeline.records(jsonTopic),
    ]);
    for (const [i, { bytes }] of inAvro.entries()) {
      const { value } = inJson[i]!;
      expect(bytes === null).toBe(value === null); // the tombstone of the delete
      if (bytes === null || value === null) continue;
      expect(withoutTimes(await schemas.decode(bytes))).toEqual(withoutTimes(parseExact(value)));
    }
  },
);
