import { expect, test } from 'vitest';
import { specify } from '../../src/definitions/specification.ts';
import { sayMissing, topicsOf } from '../../src/local/dev-server/kafka-topics.ts';
import { pairOf } from '../support/pair.ts';

const shop = specify(
  pairOf({
    name: 'shop',
    parts: { a: { table: 'shop.payment', key: 'k' }, b: { table: 'shop.parcel', key: 'k' } },
  }),
);
const FUNCTIONS = [
  { function: 'shop', ...shop },
  { function: 'numbers', topic: 'numbers' },
];
const kafkaOf = (topics: string | null, existing: string[] = []) => ({
  brokers: 'localhost:9092',
  topics,
  list: () => Promise.resolve(existing),
});

test('the topics are those of projections and of tables', () => {
  expect(topicsOf(FUNCTIONS, kafkaOf('pg.*'))).toEqual([
    'numbers',
    'pg.shop.parcel',
    'pg.shop.payment',
  ]);
  expect(topicsOf(FUNCTIONS, kafkaOf('changes, pg.*'))).toContain('changes');
  expect(topicsOf(FUNCTIONS.slice(1), kafkaOf(null))).toEqual(['numbers']);
});

test('topics that are not named are reported with the option that names them', () => {
  expect(() => topicsOf(FUNCTIONS, kafkaOf(null))).toThrow(
    'the topics of shop.parcel, shop.payment are not named. Start again with --topic-prefix <prefix> if they are <prefix>.shop.parcel and so on; otherwise set TOPIC',
  );
});

test('topics that do not exist yet are named', async () => {
  const said: string[] = [];
  const needed = ['numbers', 'pg.shop.parcel'];
  await sayMissing(needed, kafkaOf('pg.*', ['numbers']), (line) => said.push(line));
  expect(said).toEqual(['there is no topic pg.shop.parcel at localhost:9092 yet; waiting for it']);
});
