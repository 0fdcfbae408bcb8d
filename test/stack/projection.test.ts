import { expect } from 'vitest';
import type { TestProcess } from '../support/process.ts';
import { blocked, hold } from '../support/blocked.ts';
import { until } from '../support/until.ts';
import { assignedTo } from './support/pull-pipeline.ts';
import { test } from './support/test.ts';

const LIMIT = { timeout: 120_000 };

/** Resolves when the process has been assigned this number of partitions. */
const share = (process: TestProcess, n: number) =>
  until(() => assignedTo(process)?.length === n, 30_000);

test('every record of a topic is folded once, and no lag is left', LIMIT, async ({ pull }) => {
  await pull.start(3);
  await pull.produce(30_000, 3);
  const process = await pull.serve();
  await pull.until(30_000);
  await pull.produce(100, 3);
  await pull.until(30_100);
  expect(await pull.folded()).toEqual(pull.produced);
  await until(async () => (await pull.lag()) === 0n);
  process.kill('SIGTERM');
  expect(await process.exited).toEqual({ code: 0, signal: null });
});

test(
  'a process that is asked to stop finishes its chunk, leaves no lag, and leaves the group',
  LIMIT,
  async ({ pull }) => {
    await pull.start(2);
    await pull.produce(10_000, 2);
    const process = await pull.serve();
    const release = await hold(pull.db, 'lock table total');
    await blocked(pull.db, 2, 'insert into total%');
    process.kill('SIGTERM');
    await until(() => process.log.some(({ msg }) => msg === 'stopping'));
    await release();
    expect(await process.exited).toEqual({ code: 0, signal: null });
    const { records } = await pull.folded();
    expect(records).toBeGreaterThan(0);
    expect(await pull.lag()).toBe(BigInt(10_000 - records));
    // the next one does not have to wait for the first one's session to expire
    await pull.serve({ LEASE_SECONDS: '60' });
    await pull.until(10_000);
    expect(await pull.folded()).toEqual(pull.produced);
  },
);

test(
  'a process that is killed in the middle of chunks leaves every record to be folded once',
  LIMIT,
  async ({ pull }) => {
    await pull.start(4);
    await pull.produce(20_000, 4);
    for (let round = 1; round <= 3; round++) {
      const process = await pull.serve();
      await pull.appliedBy(process);
      const release = await hold(pull.db, 'lock table total');
      await pull.produce(20_000, 4);
      await blocked(pull.db, 1, 'insert into total%');
      process.kill('SIGKILL');
      await process.exited;
      await release();
    }
    await pull.serve();
    await pull.until(80_000);
    expect(await pull.folded()).toEqual(pull.produced);
    await until(async () => (await pull.lag()) === 0n);
  },
);

test(
  'partitions move to processes that join and away from those that leave, and no record is folded twice',
  LIMIT,
  async ({ pull }) => {
    await pull.start(6);
    const producing = new AbortController();
    const produced = (async () => {
      while (!producing.signal.aborted) await pull.produce(2_000, 6);
    })();
    const first = await pull.serve();
    await share(first, 6);
    const second = await pull.serve();
    await share(second, 3);
    await share(first, 3);
    const third = await pull.serve();
    await share(third, 2);
    await share(second, 2);
    for (const process of [first, second, third]) await pull.appliedBy(process);
    second.kill('SIGTERM');
    expect(await second.exited).toEqual({ code: 0, signal: null });
    await share(first, 3);
    third.kill('SIGKILL');
    await share(first, 6);
    producing.abort();
    await produced;
    await pull.until(pull.produced.records);
    expect(await pull.folded()).toEqual(pull.produced);
  },
);

test(
  'an owner that was frozen past its session folds no record that its successor has folded',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await pull.produce(15_000, 1);
    const first = await pull.serve();
    const release = await hold(pull.db, 'lock table total');
    await blocked(pull.db, 1, 'insert into total%');
    first.kill('SIGSTOP');
    const second = await pull.serve();
    await until(() => assignedTo(second)?.length === 1, 30_000);
    // the frozen one's chunk locks the position until the server aborts its transaction
    await blocked(pull.db, 1, '%update muster.position%');
    await release();
    await pull.until(15_000);
    first.kill('SIGCONT');
    await pull.produce(5_000, 1);
    await pull.until(20_000);
    await until(() =>
      first.log.some(({ msg }) => msg === 'records could not be handled, trying again'),
    );
    await until(
      () => first.log.filter(({ msg }) => msg === 'partitions assigned').length === 2,
      30_000,
    );
    expect(await pull.folded()).toEqual(pull.produced);
  },
);

test('a topic without records is read from its first record on', LIMIT, async ({ pull }) => {
  await pull.start(2);
  const process = await pull.serve();
  await until(async () => (await pull.db.query('select from muster.position')).length === 2);
  await until(async () => (await pull.health(process)).status === 200);
  expect(await pull.lag()).toBe(0n);
  await pull.produce(3, 2);
  await pull.until(3);
  expect(await pull.folded()).toEqual({ records: 3, sum: 6 });
});

test(
  'on a quiet topic a starting process removes the lag, whatever offset Kafka has stored',
  LIMIT,
  async ({ pull }) => {
    await pull.start(2);
    await pull.produce(200, 2);
    const process = await pull.serve();
    await pull.until(200);
    process.kill('SIGTERM');
    await process.exited;
    // as after a crash between the database's commit and the one to Kafka
    await pull.admin.setOffsets({
      groupId: pull.group,
      topic: pull.topic,
      partitions: [
        { partition: 0, offset: '0' },
        { partition: 1, offset: '50' },
      ],
    });
    expect(await pull.lag()).toBe(150n);
    await pull.serve();
    await until(async () => (await pull.lag()) === 0n);
    expect(await pull.folded()).toEqual({ records: 200, sum: 20_100 });
  },
);

test(
  'an invalid record is parked with its offset, and its partition continues',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await pull.produce(10, 1);
    await pull.send([
      { partition: 0, value: 'no JSON' },
      { partition: 0, value: '{"n":-1}' },
    ]);
    await pull.produce(10, 1);
    const process = await pull.serve();
    await pull.until(20);
    expect(await pull.folded()).toEqual(pull.produced);
    const parked = await pull.db.query(
      `select reason, attributes ->> 'source' as source, attributes ->> 'id' as id,
              convert_from(body, 'utf8') as body from muster.parked order by id`,
    );
    const source = `/kafka#${pull.topic}`;
    expect(parked).toEqual([
      { reason: 'not-a-record', source, id: 'partition:0/offset:10', body: 'no JSON' },
      { reason: 'refused', source, id: 'partition:0/offset:11', body: '{"n":-1}' },
    ]);
    expect(await pull.metric(process, 'muster_events_parked_total')).toBe(2);
    await until(async () => (await pull.lag()) === 0n);
  },
);

test.for(['snappy', 'lz4', 'zstd'])(
  'records compressed with %s are folded',
  LIMIT,
  async (codec, { pull }) => {
    await pull.start(1, { 'compression.type': codec });
    await pull.produce(10_000, 1);
    await pull.serve();
    await pull.until(10_000);
    expect(await pull.folded()).toEqual(pull.produced);
  },
);

test(
  'records of transactions are folded when they are committed, and their markers leave no lag',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await pull.serve();
    const producer = pull.kafka.producer({
      idempotent: true,
      transactionalId: pull.topic,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    for (const [n, end] of [
      [1, 'commit'],
      [2, 'abort'],
      [3, 'commit'],
      [4, 'abort'],
    ] as const) {
      const transaction = await producer.transaction();
      await transaction.send({ topic: pull.topic, messages: [{ value: JSON.stringify({ n }) }] });
      await transaction[end]();
      // each marker is the last record in the topic for a while
      await until(async () => (await pull.lag()) === 0n);
    }
    await producer.disconnect();
    expect(await pull.folded()).toEqual({ records: 2, sum: 4 });
  },
);
