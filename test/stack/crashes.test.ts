import { statSync } from 'node:fs';
import { expect } from 'vitest';
import { newSeed } from '../../dev/lib/flags.ts';
import { Headband } from '../../dev/headband/headband.ts';
import { until } from '../support/until.ts';
import type { Pipeline } from './support/pipeline.ts';
import { test } from './support/test.ts';

const LIMIT = { timeout: 120_000 };
const WRITTEN = 100;

/** Headbands that write until the test stops them. */
function headbands(pipeline: Pipeline): Promise<Headband> {
  const seed = newSeed();
  process.stdout.write(`${pipeline.name}: seed ${seed}\n`);
  return Headband.start({ url: pipeline.db.url, rate: 300, seed });
}

/** Resolves when the headbands have written more rows while a process of the pipeline is dead. */
async function writeOn(headband: Headband): Promise<void> {
  const since = headband.signals;
  await until(() => headband.signals > since + WRITTEN);
}

test('kill -9 of Connect repeats changes and loses none', LIMIT, async ({ pipeline }) => {
  await pipeline.prepare();
  const source = await pipeline.startSource();
  const connect = await pipeline.ownConnect({}, 3_000);
  const headband = await headbands(pipeline);
  const flushed = () => statSync(connect.offsetsFile, { throwIfNoEntry: false })?.mtimeMs;
  const before = flushed();
  await until(() => flushed() !== before);
  const since = source.counts.delivered;
  await until(() => source.counts.delivered > since + WRITTEN);
  await connect.kill();
  await writeOn(headband);
  await connect.restart();
  await writeOn(headband);
  await headband.stop();

  expect(await pipeline.settled()).toMatchObject({ twice: 0, missing: 0 });
  const values = (await pipeline.records()).filter(({ value }) => value !== null);
  const changes = new Set(
    values.map(
      ({ key, value }) => key + /"lsn":\d+/.exec(value!)![0] + /"op":"."/.exec(value!)![0],
    ),
  );
  expect(values.length - changes.size).toBeGreaterThan(WRITTEN / 2);
});

test('kill -9 of the broker loses nothing', LIMIT, async ({ pipeline }) => {
  await pipeline.start();
  const broker = await pipeline.stack.broker();
  const headband = await headbands(pipeline);
  await pipeline.processed(50);
  await broker.kill();
  await writeOn(headband);
  await broker.restart();
  await writeOn(headband);
  await headband.stop();

  expect(await pipeline.settled()).toMatchObject({ twice: 0, missing: 0 });
});

test.for(['unordered', 'ordered'])(
  'kill -9 of the KafkaSource repeats events and loses none, delivered %s',
  LIMIT,
  async (ordering, { pipeline }) => {
    await pipeline.prepare();
    const flags = ['--ordering', ordering, '--commit-interval', 'PT30S'];
    const [source] = await Promise.all([
      pipeline.startSourceProcess(...flags),
      pipeline.stack.connect().then((worker) => pipeline.addConnector(worker)),
    ]);
    const headband = await headbands(pipeline);
    await pipeline.processed(50);
    source.kill('SIGKILL');
    await writeOn(headband);
    await headband.stop();
    await pipeline.startSourceProcess('--ordering', ordering);

    expect(await pipeline.settled()).toMatchObject({ twice: 0, missing: 0 });
    const records = (await pipeline.records()).length;
    const taken =
      (await pipeline.count('muster_events_total')) +
      (await pipeline.count('muster_events_ignored_total'));
    expect(taken - records).toBeGreaterThan(50);
  },
);

test(
  'kill -9 of the function loses nothing and runs nothing twice',
  LIMIT,
  async ({ pipeline }) => {
    await pipeline.start();
    const source = await pipeline.startSource();
    const headband = await headbands(pipeline);
    for (const enough of [50, 150]) {
      await pipeline.processed(enough);
      pipeline.fn.kill('SIGKILL');
      await pipeline.fn.exited;
      await writeOn(headband);
      await pipeline.startFunction();
    }
    await headband.stop();

    expect(await pipeline.settled()).toMatchObject({ twice: 0, missing: 0 });
    expect(source.retries).toBeGreaterThan(0);
  },
);

test(
  'events in flight during a rebalance are delivered twice concurrently, and ingested once',
  LIMIT,
  async ({ pipeline }) => {
    await pipeline.start();
    const [first] = pipeline.sources;
    await pipeline.insert(...pipeline.pair());
    await pipeline.processed(1);
    // Nothing is ingested while this lock is held: delivered events stay in flight.
    const holder = await pipeline.db.pool.connect();
    await holder.query('begin');
    await holder.query('lock table muster.member in access exclusive mode');
    for (let pair = 0; pair < 20; pair += 1) await pipeline.insert(...pipeline.pair());
    await until(() => first!.inFlight >= 40);

    const second = await pipeline.startSource();
    await until(() => second.inFlight > 0, 30_000);
    expect(first!.inFlight).toBeGreaterThanOrEqual(40);
    await holder.query('commit');
    holder.release();

    expect(await pipeline.settled()).toMatchObject({ processed: 22, twice: 0, missing: 0 });
    const delivered = first!.counts.delivered + second.counts.delivered;
    expect(delivered - (await pipeline.records()).length).toBeGreaterThan(0);
  },
);

test(
  'a recreated connector, with a new slot and snapshot, repeats nothing and completes sets',
  LIMIT,
  async ({ pipeline }) => {
    await pipeline.start();
    const connect = await pipeline.stack.connect();
    const [before, during] = pipeline.pair();
    await pipeline.insert(...pipeline.pair(), before);
    await pipeline.processed(1);
    await pipeline.removeConnector(connect);
    await pipeline.insert(during);
    await pipeline.addConnector(connect);

    expect(await pipeline.settled()).toMatchObject({ processed: 3, twice: 0, missing: 0 });
  },
);

test(
  'a set with a signal that no slot saw runs when the connector is recreated',
  LIMIT,
  async ({ pipeline }) => {
    await pipeline.start();
    const connect = await pipeline.stack.connect();
    await pipeline.insert(...pipeline.pair());
    await pipeline.processed(1);
    await pipeline.removeConnector(connect);
    await pipeline.insert(...pipeline.pair());
    await pipeline.addConnector(connect);
    expect(await pipeline.settled()).toMatchObject({ processed: 3, twice: 0, missing: 0 });
  },
);
