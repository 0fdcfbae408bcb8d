import { expect } from 'vitest';
import { newSeed } from '../../dev/lib/flags.ts';
import { Headband } from '../../dev/headband/headband.ts';
import { until } from '../support/until.ts';
import { test } from './support/test.ts';

const LIMIT = { timeout: 120_000 };
const seed = newSeed();

test.for(['unordered', 'ordered'] as const)(
  `the signals of headbands are processed once, delivered %s (seed ${seed})`,
  LIMIT,
  async (ordering, { pipeline }) => {
    await pipeline.start({}, { ordering });
    const headband = await Headband.start({ url: pipeline.db.url, rate: 300, seed });
    await pipeline.processed(200);
    await headband.stop();
    expect(await pipeline.settled()).toMatchObject({ twice: 0, missing: 0 });
  },
);

test(
  'a COPY of 30,000 rows, many at the same position in the log, loses and repeats nothing',
  LIMIT,
  async ({ pipeline }) => {
    await pipeline.start();
    const [{ folder }] = (await pipeline.db.query(
      `select setting as folder from pg_settings where name = 'data_directory'`,
    )) as [{ folder: string }];
    const file = `${folder}/${pipeline.name}.copy`;
    // Two of twelve rows make a set; the others belong to no part.
    const rows = `select md5('row' || n)::uuid, md5('recording' || n / 12)::uuid, '[0,60000000000)',
    coalesce((array['eeg', 'accelerometer'])[n % 12 + 1], 'ecg'), '{f7-o1}', 250
    from generate_series(0, 29999) as n order by md5('order' || n)`;
    await pipeline.client.query(`copy (${rows}) to '${file}'`);
    await pipeline.client.query(
      `copy datastore.signal (id, recording, span, sensor_type, channels, sample_rate) from '${file}'`,
    );

    const summary = await pipeline.settled();
    expect(summary).toMatchObject({ complete: 2501, processed: 2501, twice: 0, missing: 0 });
    const records = await pipeline.records();
    const positions = new Set(records.map(({ value }) => /"lsn":(\d+)/.exec(value ?? '')?.[1]));
    expect(records.length).toBe(30_002);
    expect(positions.size).toBeLessThan(3_000);
  },
);

test(
  'an update that does not carry a value stored out of line completes and breaks nothing',
  LIMIT,
  async ({ pipeline }) => {
    await pipeline.start({ 'column.exclude.list': 'datastore.signal.sample_unit' });
    const [eeg, accelerometer] = pipeline.pair();
    await pipeline.insert(eeg);
    await pipeline.client.query(
      `update datastore.signal set data = (select string_agg(sha256(n::text::bytea), '') from generate_series(1, 200) as n)`,
    );
    await pipeline.client.query('update datastore.signal set sample_resolution_in_unit = 2');
    await pipeline.insert(accelerometer);

    expect(await pipeline.settled()).toMatchObject({ processed: 2, twice: 0, missing: 0 });
    const placeholder = Buffer.from('__debezium_unavailable_value').toString('base64');
    const values = (await pipeline.records()).map(({ value }) => value ?? '');
    expect(values.filter((value) => value.includes(placeholder)).length).toBe(1);
  },
);

test(
  'deletes and moves take effect although the log does not contain the old row',
  LIMIT,
  async ({ pipeline }) => {
    await pipeline.start();
    const [gone, kept, moved, renamed, broken] = Array.from({ length: 5 }, () => pipeline.pair());
    await pipeline.insert(gone![0], kept![0], renamed![0], ...broken!);
    // span: a move to another set; id: a delete and an insert
    await pipeline.insert({ ...moved![0], span: '[60000000000,120000000000)' });
    await pipeline.client.query('delete from datastore.signal where id = $1', [gone![0].id]);
    await pipeline.insert(gone![1], moved![1]);
    await pipeline.client.query('update datastore.signal set span = $2 where id = $1', [
      moved![0].id,
      moved![0].span,
    ]);
    await pipeline.client.query(
      'update datastore.signal set id = gen_random_uuid() where id = $1',
      [renamed![0].id],
    );
    await pipeline.insert(renamed![1]);
    await pipeline.processed(3);
    await pipeline.client.query('delete from datastore.signal where id = $1', [broken![0].id]);
    await pipeline.client.query(
      'update datastore.signal set id = gen_random_uuid() where id = $1',
      [moved![0].id],
    );

    const summary = await pipeline.settled();
    // moved, renamed, broken and the last pair of `settled`; a signal of broken has been deleted since
    expect(summary).toMatchObject({
      complete: 3,
      processed: 4,
      brokenSince: 1,
      twice: 0,
      missing: 0,
    });
    const records = await pipeline.records();
    expect(records.filter(({ value }) => value === null).length).toBe(4);
    expect(records.filter(({ value }) => value?.includes('"before":{"id"')).length).toBe(4);
  },
);

test(
  'an incremental snapshot delivers rows that the connector never saw',
  LIMIT,
  async ({ pipeline }) => {
    await pipeline.prepare();
    await pipeline.insert(...pipeline.pair(), ...pipeline.pair(), pipeline.pair()[0]);
    await Promise.all([
      pipeline.stack
        .connect()
        .then((worker) => pipeline.addConnector(worker, { 'snapshot.mode': 'no_data' })),
      pipeline.startSource(),
    ]);
    expect(await pipeline.settled()).toMatchObject({ processed: 1, missing: 2 });

    await pipeline.snapshot();
    await pipeline.processed(3);
    expect(await pipeline.settled()).toMatchObject({ processed: 4, twice: 0, missing: 0 });
  },
);

test(
  'sets that were complete before the connector started are history',
  LIMIT,
  async ({ pipeline }) => {
    await pipeline.prepare();
    const [eeg, accelerometer] = pipeline.pair();
    await pipeline.insert(...pipeline.pair(), eeg);
    await Promise.all([
      pipeline.stack.connect().then((worker) => pipeline.addConnector(worker)),
      pipeline.startSource(),
    ]);
    await pipeline.insert(accelerometer);
    expect(await pipeline.settled()).toMatchObject({ complete: 3, processed: 2, missing: 1 });
    const history = await pipeline.db.query('select key from muster.run where revision = 0');
    expect(history.length).toBe(1);
  },
);

test('a truncate leaves no waiting set', LIMIT, async ({ pipeline }) => {
  await pipeline.start();
  const [eeg, accelerometer] = pipeline.pair();
  await pipeline.insert(...pipeline.pair(), eeg);
  await pipeline.processed(1);
  await pipeline.client.query('truncate datastore.signal');
  await pipeline.insert(accelerometer);
  expect(await pipeline.settled()).toMatchObject({
    complete: 1,
    processed: 2,
    brokenSince: 1,
    missing: 0,
  });
});

test('a quiet table does not make a busy database retain its WAL', LIMIT, async ({ pipeline }) => {
  await pipeline.start({ 'heartbeat.interval.ms': '200' });
  await pipeline.client.query('create table public.busy as select generate_series(1, 10000) as n');
  const [{ lsn }] = (await pipeline.db.query('select pg_current_wal_lsn() as lsn')) as [
    { lsn: string },
  ];
  await until(async () => {
    await pipeline.client.query('insert into public.busy values (1)');
    const slots = await pipeline.db.query(
      'select from pg_replication_slots where slot_name = $1 and confirmed_flush_lsn > $2',
      [pipeline.name, lsn],
    );
    return slots.length === 1;
  });
  expect(await pipeline.records()).toEqual([]);
});
