import { expect } from 'vitest';
import { test } from './support/test.ts';

const CLOUD_EVENTS = {
  'value.converter': 'io.debezium.converters.CloudEventsConverter',
  'value.converter.serializer.type': 'json',
  'value.converter.data.serializer.type': 'json',
};
const SCHEMALESS = { 'value.converter.json.schemas.enable': 'false' };
const CONTENT_TYPE = {
  'header.converter': 'org.apache.kafka.connect.storage.StringConverter',
  transforms: 'ct',
  'transforms.ct.type': 'org.apache.kafka.connect.transforms.InsertHeader',
  'transforms.ct.header': 'content-type',
  'transforms.ct.value.literal': 'application/cloudevents+json; charset=UTF-8',
};
const FLATTENED = {
  transforms: 'unwrap',
  'transforms.unwrap.type': 'io.debezium.transforms.ExtractNewRecordState',
  'transforms.unwrap.delete.tombstone.handling.mode': 'rewrite',
  'transforms.unwrap.add.fields': 'op,table,lsn,schema,name,connector,snapshot,source.ts_ms',
};

test.for([
  ['as an envelope with its schema', { 'value.converter.schemas.enable': 'true' }, '"payload":'],
  ['as a CloudEvent', { ...CLOUD_EVENTS, ...SCHEMALESS }, '"specversion":"1.0"'],
  [
    'as a CloudEvent with its content type',
    { ...CLOUD_EVENTS, ...SCHEMALESS, ...CONTENT_TYPE },
    '"specversion":"1.0"',
  ],
  ['as a CloudEvent with its schemas', CLOUD_EVENTS, '"schema":'],
  ['as a flat row', FLATTENED, '"__op":"c"'],
] as const)(
  'a change that Debezium writes %s is understood',
  { timeout: 90_000 },
  async ([, config, sign], { pipeline }) => {
    await pipeline.prepare();
    const [first, second] = pipeline.pair();
    await pipeline.insert(first);
    await Promise.all([
      pipeline.stack.connect().then((worker) => pipeline.addConnector(worker, config)),
      pipeline.startSource(),
    ]);
    const [gone, other] = pipeline.pair();
    await pipeline.insert(gone, second, ...pipeline.pair());
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
    expect((await pipeline.records()).some(({ value }) => value?.includes(sign))).toBe(true);
  },
);
