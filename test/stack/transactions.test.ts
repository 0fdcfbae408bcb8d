import { fileURLToPath } from 'node:url';
import type { Message } from 'kafkajs';
import { expect } from 'vitest';
import { TRACES } from '../chaos/functions.ts';
import { seeded } from '../support/seeded.ts';
import { envelope } from '../support/sender.ts';
import { until } from '../support/until.ts';
import type { PullPipeline } from './support/pull-pipeline.ts';
import { lagOf } from './support/topic.ts';
import { test } from './support/test.ts';

const LIMIT = { timeout: 120_000 };
const SERVE = fileURLToPath(new URL('../chaos/serve.ts', import.meta.url));

/** A key with the length of that of a marker which ends an aborted transaction. */
const ZEROS = Buffer.alloc(4);

/** Transactional producers, each of which can have an open transaction on the first partition. */
async function producersOn(pull: PullPipeline, count: number) {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const producer = pull.kafka.producer({
        idempotent: true,
        transactionalId: `${pull.topic}-${i}`,
        maxInFlightRequests: 1,
      });
      await producer.connect();
      const begin = async () => {
        const transaction = await producer.transaction();
        const send = (message: Omit<Message, 'partition'>) =>
          transaction.send({ topic: pull.topic, messages: [{ ...message, partition: 0 }] });
        return {
          send,
          abort: () => transaction.abort(),
          commit: () => transaction.commit(),
        };
      };
      return { begin, end: () => producer.disconnect() };
    }),
  );
}

const number = (n: number) => ({ value: JSON.stringify({ n }) });

const change = (id: number, kind: string) => ({
  value: envelope('c', id, { id, k: 'slow one', kind }),
});

/** Aborts two transactions that overlap, then commits one. */
async function overlap(
  pull: PullPipeline,
  [a1, b1, a2, b2, kept]: readonly [Message, Message, Message, Message, Message],
): Promise<void> {
  const [a, b] = await producersOn(pull, 2);
  const [first, second] = [await a!.begin(), await b!.begin()];
  await first.send(a1);
  await second.send(b1);
  await first.send(a2);
  await second.send(b2);
  await first.abort();
  await second.abort();
  const third = await a!.begin();
  await third.send(kept);
  await third.commit();
  await Promise.all([a!.end(), b!.end()]);
}

test(
  'a projection folds nothing from overlapping aborted transactions, and no lag is left',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await overlap(pull, [number(1), number(2), number(3), number(4), number(100)]);
    await pull.serve();
    await pull.until(1);
    await until(async () => (await pull.lag()) === 0n);
    expect(await pull.folded()).toEqual({ records: 1, sum: 100 });
  },
);

test(
  'a record whose key looks like an abort marker does not end a transaction',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    const zeros = { ...number(1), key: ZEROS };
    await overlap(pull, [zeros, zeros, number(3), number(4), number(100)]);
    await pull.serve();
    await pull.until(1);
    await until(async () => (await pull.lag()) === 0n);
    expect(await pull.folded()).toEqual({ records: 1, sum: 100 });
  },
);

test(
  'only committed records are folded, whichever transactions overlap',
  LIMIT,
  async ({ pull }) => {
    const random = seeded();
    await pull.start(1);
    const producers = await producersOn(pull, 3);
    const open = new Map<number, Awaited<ReturnType<(typeof producers)[number]['begin']>>>();
    const sent = new Map<number, number[]>();
    const committed: number[] = [];
    let aborted = 0;
    for (let n = 1; n <= 150; n++) {
      const place = random.between(0, 2);
      const transaction = open.get(place) ?? (await producers[place]!.begin());
      open.set(place, transaction);
      await transaction.send({ ...number(n), key: random.next() < 0.2 ? ZEROS : null });
      sent.set(place, [...(sent.get(place) ?? []), n]);
      if (random.next() < 0.6 && n < 148) continue;
      const commits = random.next() < 0.5;
      if (commits) committed.push(...sent.get(place)!);
      else aborted += sent.get(place)!.length;
      await (commits ? transaction.commit() : transaction.abort());
      open.delete(place);
      sent.delete(place);
    }
    for (const transaction of open.values()) await transaction.abort();
    for (const producer of producers) await producer.end();
    expect(aborted).toBeGreaterThan(0);
    await pull.serve();
    await until(async () => (await pull.lag()) === 0n, 30_000);
    expect(await pull.folded()).toEqual({
      records: committed.length,
      sum: committed.reduce((sum, n) => sum + n, 0),
    });
  },
);

test('changes of overlapping aborted transactions complete no set', LIMIT, async ({ pull }) => {
  await pull.start(1);
  await pull.db.query(TRACES);
  await overlap(pull, [
    change(1, 'a'),
    change(2, 'b'),
    change(3, 'a'),
    change(4, 'b'),
    change(5, 'a'),
  ]);
  // two functions, each with its own group
  const env = { TOPIC: pull.topic, FUNCTIONS: '', KAFKA_GROUP: '' };
  await pull.serve(env, SERVE);
  await until(async () => (await lagOf(pull.kafka, pull.topic, 'muster-pair')) === 0n, 30_000);
  const rows = await pull.db.query('select distinct id from muster.member');
  expect(rows).toEqual([{ id: expect.stringContaining('5') as string }]);
  expect(await pull.db.query('select from effect')).toEqual([]);
});
