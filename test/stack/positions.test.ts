import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { Broker } from '../../dev/stack/broker.ts';
import { until } from '../support/until.ts';
import { Proxy } from './support/proxy.ts';
import { test } from './support/test.ts';

const LIMIT = { timeout: 120_000 };

test(
  'records that were deleted before they were read are reported, and reading continues behind them',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await pull.produce(100, 1);
    const first = await pull.serve();
    await pull.until(100);
    first.kill('SIGTERM');
    await first.exited;
    await pull.produce(100, 1);
    await pull.forget(150);

    const second = await pull.serve();
    await pull.until(150);
    expect(await pull.db.query('select partition, first, next from muster.lost_records')).toEqual([
      { partition: 0, first: '100', next: '150' },
    ]);
    const line = second.log.find(({ msg }) => /no longer holds/.test(String(msg)));
    expect(line).toMatchObject({ level: 50, partition: 0, from: 100, to: 150, records: 50 });
    expect(await pull.metric(second, 'muster_records_lost_total')).toBe(50);
    expect(await pull.muster('positions', 'numbers')).toMatch(/0:200\t.*\t50 records were lost$/m);
  },
);

test(
  'records that are deleted while the projection is paused are reported too, even without new records',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await pull.produce(100, 1);
    const process = await pull.serve();
    await pull.until(100);
    expect(await pull.muster('pause', 'numbers')).toBe(
      `numbers is paused: no record of ${pull.topic} is read until 'muster resume numbers'\n`,
    );
    await until(() => process.log.some(({ msg }) => msg === 'paused'));
    await pull.produce(100, 1);
    await pull.forget(200);
    await until(async () => (await pull.db.query('select from muster.lost_records')).length === 1);
    await pull.muster('resume', 'numbers');
    await pull.produce(10, 1);
    await pull.until(110);
    expect(await pull.db.query('select partition, first, next from muster.lost_records')).toEqual([
      { partition: 0, first: '100', next: '200' },
    ]);
    expect(await pull.folded()).toEqual({ records: 110, sum: 5_050 + 55 });
  },
);

test(
  'a paused projection reads nothing, and continues at its position when resumed',
  LIMIT,
  async ({ pull }) => {
    await pull.start(2);
    const process = await pull.serve();
    await pull.produce(100, 2);
    await pull.until(100);
    await pull.muster('pause', 'numbers');
    await until(() => process.log.some(({ msg }) => msg === 'paused'));
    await pull.produce(100, 2);
    // after several progress reports
    const seen = async () =>
      (await pull.db.query<{ log_end: string }>('select log_end from muster.position')).every(
        ({ log_end }) => log_end === '100',
      );
    await until(seen);
    expect((await pull.folded()).records).toBe(100);
    await pull.muster('resume', 'numbers');
    await pull.until(200);
    expect(await pull.folded()).toEqual(pull.produced);
  },
);

test(
  'a recreated topic that is shorter is not read until a new position is set',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await pull.produce(100, 1);
    const first = await pull.serve();
    await pull.until(100);
    first.kill('SIGTERM');
    await first.exited;
    await pull.remake(1);
    await pull.produce(10, 1);

    const second = await pull.serve();
    await until(async () => /recreated/.test((await pull.health(second)).text), 30_000);
    expect((await pull.health(second)).status).toBe(503);
    expect((await pull.folded()).records).toBe(100);
    expect(await pull.muster('positions')).toContain('stopped: position 100 is beyond');
    await pull.muster('seek', 'numbers', '0', '0');
    await pull.until(110);
    expect(await pull.folded()).toEqual(pull.produced);
    await until(async () => (await pull.health(second)).status === 200);
  },
);

test(
  'a recreated topic that is longer is detected by the record before the position',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await pull.produce(100, 1);
    const first = await pull.serve();
    await pull.until(100);
    first.kill('SIGTERM');
    await first.exited;
    await pull.remake(1);
    await pull.produce(150, 1);

    const second = await pull.serve();
    await until(async () => /not the one that was read/.test((await pull.health(second)).text));
    expect((await pull.folded()).records).toBe(100);
    await pull.muster('seek', 'numbers', '0', '0');
    await pull.until(250);
    expect(await pull.folded()).toEqual(pull.produced);
  },
);

test('a topic that is recreated while it is read is detected as well', LIMIT, async ({ pull }) => {
  await pull.start(1);
  await pull.produce(100, 1);
  const process = await pull.serve();
  await pull.until(100);
  await pull.remake(1);
  await pull.produce(10, 1);
  await until(async () => /recreated/.test((await pull.health(process)).text), 60_000);
  expect((await pull.folded()).records).toBe(100);
  await pull.muster('seek', 'numbers', '0', '0');
  await pull.until(110);
  expect(await pull.folded()).toEqual(pull.produced);
});

test('a process waits for a topic that does not exist yet', LIMIT, async ({ pull }) => {
  await pull.start(1);
  await pull.admin.deleteTopics({ topics: [pull.topic] });
  const process = await pull.serve();
  await until(async () => /topic/.test((await pull.health(process)).text), 30_000);
  expect((await pull.health(process)).status).toBe(503);
  await pull.createTopic(1);
  await pull.produce(10, 1);
  await pull.until(10);
  await until(async () => (await pull.health(process)).status === 200);
});

test(
  'a position that is moved back is read from again, even without new records',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await pull.produce(100, 1);
    await pull.serve();
    await pull.until(100);
    expect(await pull.muster('seek', 'numbers', '0', '90')).toBe(
      `numbers resumes partition 0 of ${pull.topic} at 90, was at 100\n`,
    );
    await pull.until(110);
    await until(async () => (await pull.lag()) === 0n);
  },
);

test(
  'while the database is down the process is not ready; then it continues, and every record is folded once',
  LIMIT,
  async ({ pull }) => {
    await pull.start(2);
    const url = new URL(pull.db.url);
    const way = await Proxy.to(Number(url.port));
    url.port = String(way.port);
    const process = await pull.serve({ DATABASE_URL: url.href });
    await pull.produce(10_000, 2);
    await pull.until(10_000);
    way.cut();
    await pull.produce(10_000, 2);
    await until(async () => (await pull.health(process)).status === 503);
    const before = process.log.length;
    await sleep(3_000); // an outage takes time
    // two partitions, delays from 100 ms to 5 s: no busy loop
    expect(process.log.length - before).toBeLessThan(60);
    way.repair();
    await pull.until(20_000);
    expect(await pull.folded()).toEqual(pull.produced);
    await until(async () => (await pull.health(process)).status === 200);
    await until(async () => (await pull.lag()) === 0n);
    way.close();
  },
);

test(
  'while Kafka is down the process is not ready; then it continues, and every record is folded once',
  LIMIT,
  async ({ pull }) => {
    const broker = await Broker.start(await pull.stack.install(), pull.stack.newFolder());
    onTestFinished(() => broker.kill());
    await pull.start(2, {}, broker);
    await pull.produce(1_000, 2);
    const process = await pull.serve();
    await pull.until(1_000);
    await until(async () => (await pull.lag()) === 0n);
    await broker.stop();
    await until(async () => (await pull.health(process)).status === 503, 30_000);
    await broker.restart();
    await pull.produce(1_000, 2);
    await pull.until(2_000, 60_000);
    expect(await pull.folded()).toEqual(pull.produced);
    await until(async () => (await pull.health(process)).status === 200);
    await until(async () => (await pull.lag()) === 0n);
  },
);
