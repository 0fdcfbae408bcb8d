import { expect, test } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import type { Definition } from '../../src/function.ts';
import { subscriptionsOf } from '../../src/process/subscriptions.ts';
import { numbers } from '../support/numbers.ts';
import { pairOf } from '../support/pair.ts';

const warnings: string[] = [];
const log = { info() {}, warn: (_: object, message: string) => warnings.push(message), error() {} };

function placesOf(definitions: readonly Definition[], env: Record<string, string>) {
  const config = readConfig({ DATABASE_URL: 'postgres://db/state', ...env });
  return subscriptionsOf(config, definitions, log);
}

const KAFKA = { INTAKE: 'kafka', KAFKA_BROKERS: 'kafka:9092' };

test('events that are posted come from nowhere', () => {
  expect(placesOf([pairOf()], {})).toBeNull();
  expect(warnings).toEqual([]);
});

test('a projection cannot be posted to', () => {
  const why =
    "numbers can't be posted to: a projection reads its records from Kafka, with INTAKE=kafka";
  expect(() => placesOf([numbers()], {})).toThrow(why);
  expect(placesOf([numbers(), pairOf()], {})).toBeNull();
  expect(warnings).toEqual([why]);
});

test('a projection reads its topic, sets those that are configured', () => {
  const orders = pairOf({
    name: 'orders',
    parts: {
      a: { table: 'shop.order', key: 'k' },
      b: { table: 'shop.payment', key: 'k' },
      c: { table: 'shop.order', key: 'k', where: { kind: 'c' } },
    },
  });
  const TOPIC = 'changes, pg.*';
  expect(placesOf([numbers(), orders], { ...KAFKA, TOPIC })).toEqual([
    { name: 'numbers', topics: ['numbers'] },
    { name: 'orders', topics: ['changes', 'pg.shop.order', 'pg.shop.payment'] },
  ]);
  expect(() => placesOf([orders], KAFKA)).toThrow(
    'TOPIC is not set: the topics with the changes of orders, as in TOPIC=<prefix>.shop.order, or <prefix>.* for shop.order, shop.payment',
  );
});

test('a group is that of one function', () => {
  const env = { ...KAFKA, TOPIC: 't', KAFKA_GROUP: 'g' };
  expect(placesOf([numbers()], env)).toHaveLength(1);
  expect(() => placesOf([numbers(), pairOf()], env)).toThrow(
    'KAFKA_GROUP is the group of one function, and FUNCTIONS are numbers, pair',
  );
});
