import { expect, test } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import type { Definition } from '../../src/function.ts';
import { subscriptionsOf } from '../../src/process/subscriptions.ts';
import { numbers } from '../support/numbers.ts';
import { pairOf } from '../support/pair.ts';

const warnings: string[] = [];
const log = { info() {}, warn: (_: object, message: string) => warnings.push(message), error() {} };

function subscribed(definitions: readonly Definition[], env: Record<string, string>) {
  const config = readConfig({ DATABASE_URL: 'postgres://db/state', ...env });
  return subscriptionsOf(config, definitions, log);
}

const KAFKA = { INTAKE: 'kafka', KAFKA_BROKERS: 'kafka:9092' };

test('there are no subscriptions with INTAKE=http', () => {
  expect(subscribed([pairOf()], {})).toBeNull();
  expect(warnings).toEqual([]);
});

test('a projection can not be served over HTTP', () => {
  const why =
    "numbers can't receive events over HTTP: a projection reads its records from Kafka, with INTAKE=kafka";
  expect(() => subscribed([numbers()], {})).toThrow(why);
  expect(subscribed([numbers(), pairOf()], {})).toBeNull();
  expect(warnings).toEqual([why]);
});

test('a projection subscribes to its topic, a set function to those of TOPIC', () => {
  const orders = pairOf({
    name: 'orders',
    parts: {
      a: { table: 'shop.order', key: 'k' },
      b: { table: 'shop.payment', key: 'k' },
      c: { table: 'shop.order', key: 'k', where: { kind: 'c' } },
    },
  });
  const TOPIC = 'changes, pg.*';
  expect(subscribed([numbers(), orders], { ...KAFKA, TOPIC })).toEqual([
    { name: 'numbers', topics: ['numbers'] },
    { name: 'orders', topics: ['changes', 'pg.shop.order', 'pg.shop.payment'] },
  ]);
  expect(() => subscribed([orders], KAFKA)).toThrow(
    'TOPIC is not set: name the topics with the changes of orders, for example TOPIC=<prefix>.shop.order, or <prefix>.* for shop.order, shop.payment',
  );
});

test('topics whose records are parts need no TOPIC, those with events do', () => {
  const label = { topic: 'labels', key: 'k' };
  const records = pairOf({ name: 'records', parts: { a: label } });
  const events = pairOf({
    name: 'events',
    parts: { a: label, b: { event: 'x.y', key: 'subject' } },
  });
  expect(subscribed([records], KAFKA)).toEqual([{ name: 'records', topics: ['labels'] }]);
  expect(subscribed([events], { ...KAFKA, TOPIC: 'all,labels' })).toEqual([
    { name: 'events', topics: ['labels', 'all'] },
  ]);
  expect(() => subscribed([events], KAFKA)).toThrow(
    'TOPIC is not set: name the topics with the CloudEvents of events (x.y)',
  );
});

test('KAFKA_GROUP is refused for several functions', () => {
  const env = { ...KAFKA, TOPIC: 't', KAFKA_GROUP: 'g' };
  expect(subscribed([numbers()], env)).toHaveLength(1);
  expect(() => subscribed([numbers(), pairOf()], env)).toThrow(
    'KAFKA_GROUP names the group of one function, but FUNCTIONS has several: numbers, pair',
  );
});
