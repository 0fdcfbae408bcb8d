import { statSync } from 'node:fs';
import { expect } from 'vitest';
import { newSeed } from '../../dev/lib/flags.ts';
import { Headband } from '../../dev/headband/headband.ts';
import { until } from '../support/until.ts';
import type { Road } from './support/road.ts';
import { test } from './support/test.ts';

const LIMIT = { timeout: 120_000 };
const WRITTEN = 100;

/** Headbands that write until the test stops them. */
function headbands(road: Road): Promise<Headband> {
  const seed = newSeed();
  process.stdout.write(`${road.name}: seed ${seed}\n`);
  return Headband.start({ url: road.db.url, rate: 300, seed });
}

/** Resolves when the headbands have written more rows while a process of the pipeline is dead. */
async function writeOn(headband: Headband): Promise<void> {
  const since = headband.signals;
  await until(() => headband.signals > since + WRITTEN);
}

test('kill -9 of Connect repeats changes and loses none', LIMIT, async ({ road }) => {
  await road.prepare();
  const source = await road.startSource();
  const connect = await road.ownConnect({}, 3_000);
  const headband = await headbands(road);
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

  expect(await road.settled()).toMatchObject({ twice: 0, missing: 0 });
  const values = (await road.records()).filter(({ value }) => value !== null);
  const changes = new Set(
    values.map(
      ({ key, value }) => key + /"lsn":\d+/.exec(value!)![0] + /"op":"."/.exec(value!)![0],
    ),
  );
  expect(values.length - changes.size).toBeGreaterThan(WRITTEN / 2);
});

test('kill -9 of the broker loses nothing', LIMIT, async ({ road }) => {
  await road.start();
  const broker = await road.stack.broker();
  const headband = await headbands(road);
  await road.processed(50);
  await broker.kill();
  await writeOn(headband);
  await broker.restart();
  await writeOn(headband);
  await headband.stop();

  expect(await road.settled()).toMatchObject({ twice: 0, missing: 0 });
});

test.for(['unordered', 'ordered'])(
  'kill -9 of the KafkaSource repeats events and loses none, delivered %s',
  LIMIT,
  async (ordering, { road }) => {
    await road.prepare();
    const flags = ['--ordering', ordering, '--commit-interval', 'PT30S'];
    const [source] = await Promise.all([
      road.startSourceProcess(...flags),
      road.stack.connect().then((worker) => road.addConnector(worker)),
    ]);
    const headband = await headbands(road);
    await road.processed(50);
    source.kill('SIGKILL');
    await writeOn(headband);
    await headband.stop();
    await road.startSourceProcess('--ordering', ordering);

    expect(await road.settled()).toMatchObject({ twice: 0, missing: 0 });
    const records = (await road.records()).length;
    const taken =
      (await road.count('muster_events_total')) + (await road.count('muster_events_ignored_total'));
    expect(taken - records).toBeGreaterThan(50);
  },
);

test('kill -9 of the function loses nothing and runs nothing twice', LIMIT, async ({ road }) => {
  await road.start();
  const source = await road.startSource();
  const headband = await headbands(road);
  for (const enough of [50, 150]) {
    await road.processed(enough);
    road.fn.kill('SIGKILL');
    await road.fn.exited;
    await writeOn(headband);
    await road.startFunction();
  }
  await headband.stop();

  expect(await road.settled()).toMatchObject({ twice: 0, missing: 0 });
  expect(source.retries).toBeGreaterThan(0);
});

test(
  'events in flight during a rebalance are delivered twice concurrently, and ingested once',
  LIMIT,
  async ({ road }) => {
    await road.start();
    const [first] = road.sources;
    await road.insert(...road.pair());
    await road.processed(1);
    // Nothing is ingested while this lock is held: delivered events stay in flight.
    const holder = await road.db.pool.connect();
    await holder.query('begin');
    await holder.query('lock table muster.member in access exclusive mode');
    for (let pair = 0; pair < 20; pair += 1) await road.insert(...road.pair());
    await until(() => first!.inFlight >= 40);

    const second = await road.startSource();
    await until(() => second.inFlight > 0, 30_000);
    expect(first!.inFlight).toBeGreaterThanOrEqual(40);
    await holder.query('commit');
    holder.release();

    expect(await road.settled()).toMatchObject({ processed: 22, twice: 0, missing: 0 });
    const delivered = first!.counts.delivered + second.counts.delivered;
    expect(delivered - (await road.records()).length).toBeGreaterThan(0);
  },
);

test(
  'a recreated connector, with a new slot and snapshot, repeats nothing and completes sets',
  LIMIT,
  async ({ road }) => {
    await road.start();
    const connect = await road.stack.connect();
    const [before, during] = road.pair();
    await road.insert(...road.pair(), before);
    await road.processed(1);
    await road.removeConnector(connect);
    await road.insert(during);
    await road.addConnector(connect);

    expect(await road.settled()).toMatchObject({ processed: 3, twice: 0, missing: 0 });
  },
);

test(
  'a set with a signal that no slot saw runs when the connector is recreated',
  LIMIT,
  async ({ road }) => {
    await road.start();
    const connect = await road.stack.connect();
    await road.insert(...road.pair());
    await road.processed(1);
    await road.removeConnector(connect);
    await road.insert(...road.pair());
    await road.addConnector(connect);
    expect(await road.settled()).toMatchObject({ processed: 3, twice: 0, missing: 0 });
  },
);
