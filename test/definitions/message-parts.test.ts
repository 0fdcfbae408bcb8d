import { expect, test } from 'vitest';
import { hashOf, specify } from '../../src/definitions/specification.ts';
import type { FunctionDefinition } from '../../src/function.ts';

const paid = { event: 'com.shop.order.paid', key: 'data.orderId' };
const label = { topic: 'labels', key: 'orderId' };
const versioned = { id: 'data.orderId', version: 'data.revision' };

function refusalOf(...parts: readonly object[]): string[] {
  const named = Object.fromEntries(parts.map((each, i) => ['abc'[i]!, each]));
  const definition = { name: 'shop', parts: named, handle() {} };
  try {
    specify(definition as unknown as FunctionDefinition);
    return [];
  } catch (error) {
    return (error as Error).message.split('\n  ').slice(1);
  }
}

const wrong: [parts: readonly object[], problem: string][] = [
  [[{ ...paid, table: 'shop.order' }], 'part a: table and event: a part reads only one of them'],
  [[{ ...paid, topic: 'orders' }], 'part a: event and topic: a part reads only one of them'],
  [[{ ...paid, event: '' }], "part a: event must be the type of a CloudEvent, not ''"],
  [
    [{ ...paid, event: 'dev.knative.kafka.event' }],
    "part a: event is 'dev.knative.kafka.event', the type of every record that is not a CloudEvent: write topic: '<topic>' for its records, or table: '<schema.table>' for changes that Debezium sends",
  ],
  [
    [{ ...paid, event: 'io.debezium.connector.postgresql.DataChangeEvent' }],
    "part a: event is 'io.debezium.connector.postgresql.DataChangeEvent', a change of a table that Debezium sends: write table: '<schema.table>'",
  ],
  [
    [{ ...paid, key: 'orderId' }],
    "part a: key names 'orderId', which can't be an attribute of a CloudEvent (lower-case letters and digits); a value of its data is named data.orderId",
  ],
  [
    [{ ...paid, key: 'data..id' }],
    "part a: key names 'data..id': a path has names between its dots",
  ],
  [
    [{ ...paid, where: { sequence: 5 } }],
    'part a: where sequence must be text or null, as attributes are, not 5',
  ],
  [
    [{ ...paid, base64: ['data.x'] }],
    "part a: there is no property 'base64'; there are event, key, where, columns, count, id, version, deletedBy",
  ],
  [
    [{ ...paid, id: 'data.orderId' }],
    'part a: version is missing: with an id of its own, several events are the same one, and the newest version counts',
  ],
  [
    [{ ...paid, version: 'time' }],
    'part a: id is missing: a version compares events of the same id',
  ],
  [
    [{ ...paid, deletedBy: 'com.shop.order.cancelled' }],
    'part a: deletedBy needs id and version, which tell what is taken back',
  ],
  [
    [{ ...paid, ...versioned, deletedBy: paid.event }],
    "part a: deletedBy is 'com.shop.order.paid', the type of the part itself",
  ],
  [
    [{ ...paid, ...versioned }, paid],
    'part b: id, version and deletedBy must be those of part a, which reads the same events',
  ],
  [
    [
      { ...paid, ...versioned },
      { ...paid, ...versioned, deletedBy: 'x' },
    ],
    'part b: id, version and deletedBy must be those of part a, which reads the same events',
  ],
  [
    [{ ...label, topic: 'la bels' }],
    "part a: topic must be the name of a topic (at most 249 letters, digits, dots, dashes and underscores), not 'la bels'",
  ],
  [
    [{ ...label, columns: ['offset'] }],
    "part a: columns names 'offset', which without id and version is the offset of the record, not a value in it",
  ],
  [
    [{ ...label, deletedBy: 'x' }],
    "part a: there is no property 'deletedBy'; there are topic, key, where, columns, count, id, version",
  ],
  [
    [{ table: 'event com.shop', key: 'k' }],
    "part a: table must be schema.table, not 'event com.shop'",
  ],
];

test.for(wrong)('a wrong part of events or records is refused: %j', ([parts, problem]) => {
  expect(refusalOf(...parts)).toEqual([problem]);
});

test('parts of events, records and tables have defaults, and may be mixed', () => {
  const { parts } = specify({
    name: 'shop',
    parts: {
      paid: { ...paid, where: { 'data.country': 'NO' }, columns: ['data.amount'] },
      sent: { ...paid, event: 'com.shop.sent', ...versioned, deletedBy: 'com.shop.lost' },
      packed: { table: 'public.packing', key: 'order_id' },
      label,
    },
    handle() {},
  });
  expect(parts).toMatchObject([
    {
      event: 'com.shop.order.paid',
      version: null,
      deletedBy: null,
      id: ['source', 'id'],
      columns: ['source', 'id', 'data.orderId', 'data.country', 'data.amount'],
      keepsMore: true,
    },
    { id: ['data.orderId'], version: 'data.revision', deletedBy: 'com.shop.lost' },
    { table: 'public.packing', id: ['id'] },
    { topic: 'labels', id: ['partition', 'offset'], version: null },
  ]);
  expect(parts[2]).not.toHaveProperty('version');
});

test('the specification of a part of a table has not changed, so that it is not registered again', () => {
  const part = { table: 'public.item', key: 'k', where: { kind: 'a' } };
  expect(hashOf(specify({ name: 'fine', parts: { a: part }, handle() {} }))).toBe(
    'f497acb9f8192cfd8e543b6011f6e4f1a8ea224c38342f4a6a3ff4abf673727b',
  );
});
