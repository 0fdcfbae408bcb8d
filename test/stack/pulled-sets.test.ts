import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { TRACES } from '../chaos/functions.ts';
import { TestProcess } from '../support/process.ts';
import { seeded } from '../support/seeded.ts';
import { envelope } from '../support/sender.ts';
import { until } from '../support/until.ts';
import type { PullPipeline } from './support/pull-pipeline.ts';
import { lagOf } from './support/topic.ts';
import { test } from './support/test.ts';

const SERVE = fileURLToPath(new URL('../chaos/serve.ts', import.meta.url));
const SETS = 300;

test(
  'sets whose changes are pulled run once each, with duplicates, in any order and despite kills',
  { timeout: 120_000 },
  async ({ pull }) => {
    const random = seeded();
    await pull.start(3);
    await pull.db.query(TRACES);
    const changes = Array.from({ length: 2 * SETS }, (_, i) =>
      envelope('c', i + 1, { id: i + 1, k: `slow ${i >> 1}`, kind: i % 2 === 0 ? 'a' : 'b' }),
    );
    const messages = [...changes, ...changes]
      .map((value) => ({ place: random.next(), partition: random.between(0, 2), value }))
      .toSorted((a, b) => a.place - b.place)
      .map(({ partition, value }) => ({ partition, value }));
    await pull.send(messages.slice(0, SETS));
    // two functions, each with its own group
    const env = { TOPIC: pull.topic, FUNCTIONS: '', KAFKA_GROUP: '', LEASE_SECONDS: '2' };
    const first = await pull.serve(env, SERVE);
    await until(async () => (await pull.db.query('select from effect')).length > 5, 30_000);
    first.kill('SIGKILL');
    await pull.send(messages.slice(SETS));
    await pull.send([
      { partition: 1, key: '{"id":1}', value: null },
      { partition: 1, value: 'no change' },
      { partition: 1, headers: { ce_specversion: '1.0' }, value: '{}' },
    ]);
    const second = await pull.serve(env, SERVE);
    await until(async () => (await pull.db.query('select from effect')).length >= SETS, 60_000);
    await until(
      async () =>
        (await lagOf(pull.kafka, pull.topic, 'muster-pair')) === 0n &&
        (await lagOf(pull.kafka, pull.topic, 'muster-bounded')) === 0n,
      30_000,
    );
    const effects = await pull.db.query<{ run: string }>('select run from effect');
    expect(new Set(effects.map(({ run }) => run)).size).toBe(effects.length);
    expect(effects).toHaveLength(SETS);
    const { topic } = pull;
    const parked = await pull.db.query(
      `select reason, attributes ->> 'kafkatopic' as topic, attributes ->> 'knativekafkapartition' as partition,
              convert_from(body, 'utf8') as body from muster.parked order by body`,
    );
    expect(parked).toEqual([
      { reason: 'not-a-change', topic, partition: '1', body: 'no change' },
      { reason: 'not-a-change', topic, partition: '1', body: '{}' },
    ]);
    second.kill('SIGTERM');
    expect(await second.exited).toEqual({ code: 0, signal: null });
  },
);

/** Writes sets that have not been written yet, and compares those that ran with them. */
function setsOf(pull: PullPipeline) {
  let sets = 0;
  const effects = () => pull.db.query<{ run: string }>('select run from effect');
  return {
    async write(count: number) {
      const messages = Array.from({ length: 2 * count }, (_, i) => {
        const n = 2 * sets + i;
        const row = { id: n, k: `set ${n >> 1}`, kind: n % 2 === 0 ? 'a' : 'b' };
        return { partition: 0, value: envelope('c', n + 1, row) };
      });
      await pull.send(messages);
      sets += count;
      return messages;
    },
    async ran() {
      await until(async () => (await effects()).length >= sets, 60_000);
      await until(async () => (await lagOf(pull.kafka, pull.topic, 'muster-pair')) === 0n, 30_000);
      const runs = (await effects()).map(({ run }) => run);
      expect({ runs: runs.length, twice: runs.length - new Set(runs).size }).toEqual({
        runs: sets,
        twice: 0,
      });
    },
  };
}

/** Starts a process that reads a new topic. */
async function servedOn(pull: PullPipeline) {
  await pull.start(1);
  await pull.db.query(TRACES);
  const env = { TOPIC: pull.topic, FUNCTIONS: '', KAFKA_GROUP: '', LEASE_SECONDS: '2' };
  const first = await pull.serve(env, SERVE);
  return { env, first, sets: setsOf(pull) };
}

test(
  'sets run once each although the topic is recreated, while it is read and after a kill',
  { timeout: 120_000 },
  async ({ pull }) => {
    const { env, first, sets } = await servedOn(pull);
    const before = await sets.write(50);
    await sets.ran();
    await pull.remake(1);
    await sets.write(100); // more than before: the position is in the middle of the new topic
    await sets.ran();
    first.kill('SIGKILL');
    await pull.remake(1);
    await sets.write(150);
    await pull.send(before); // as a connector with a new snapshot would
    await pull.serve(env, SERVE);
    await sets.ran();
  },
);

test(
  'sets run once each although the broker and then the process are killed',
  { timeout: 120_000 },
  async ({ pull }) => {
    const { env, first, sets } = await servedOn(pull);
    await sets.write(50);
    await until(async () => (await pull.db.query('select from effect')).length > 0, 30_000);
    const broker = await pull.stack.broker();
    await broker.kill();
    first.kill('SIGKILL');
    await broker.restart();
    await sets.write(50);
    await pull.serve(env, SERVE);
    await sets.ran();
  },
);

test('without TOPIC a set function reports which topics it needs', async ({ pull }) => {
  const child = new TestProcess(SERVE, [], {
    DATABASE_URL: pull.db.url,
    INTAKE: 'kafka',
    KAFKA_BROKERS: 'localhost:1',
  });
  expect(await child.exited).toEqual({ code: 1, signal: null });
  expect(child.stderr).toContain(
    'TOPIC is not set: name the topics with the changes of pair, for example TOPIC=<prefix>.public.item, or <prefix>.* for public.item',
  );
});
