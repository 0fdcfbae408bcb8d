import { expect } from 'vitest';
import { defineFunction } from '../src/function.ts';
import { runFunction } from '../src/testing.ts';
import { pairOf } from './support/pair.ts';
import { test } from './support/test.ts';

const rowsOf = (k: string) =>
  ['a', 'b'].map((kind, id) => ({ table: 'public.item', row: { id: `${k}${id}`, k, kind } }));

test.for(['Łódź', 'two\nlines', '["x"]'])(
  'a function runs on rows with the key %j, and its event is returned',
  async (k, { db }) => {
    const pair = pairOf({ handle: (set) => [{ type: 'fertig für', data: { key: set.keyText } }] });
    expect(await runFunction(pair, rowsOf(k), { databaseUrl: db.url })).toEqual({
      sets: [{ key: { k }, status: 'done', missing: [] }],
      events: [{ type: 'fertig für', subject: k, data: { key: k } }],
      errors: [],
    });
  },
);

test.for(['t', 'für'])(
  'data of every JSON type is returned unchanged in an event of type %j',
  async (type, { db }) => {
    const data = ['a text', 1, true, null, undefined, [1], { a: 'ß' }, '1', '{}'];
    const pair = pairOf({ handle: () => data.map((each) => ({ type, data: each })) });
    const { events } = await runFunction(pair, rowsOf('x'), { databaseUrl: db.url });
    expect(events.map((event) => event.data)).toEqual(data);
  },
);

test("an event that can't be published is reported and not waited for", async ({ db }) => {
  const pair = pairOf({
    async handle(_set, { tx }) {
      await tx.query(
        `insert into muster.outbox (function, key, event_id, type, subject) values (1, 'x', 'pair/x/1/0', '', 'x')`,
      );
    },
  });
  const { sets, events, errors } = await runFunction(pair, rowsOf('x'), { databaseUrl: db.url });
  expect([sets.map(({ status }) => status), events]).toEqual([['done'], []]);
  expect(errors).toEqual([
    expect.stringMatching(/^event pair\/x\/1\/0: TypeError: invalid payload/),
  ]);
});

test('an event whose subject is not text fails the run', async ({ db }) => {
  const pair = pairOf({
    retry: { attempts: 1 },
    handle: () => [{ type: 't', subject: 42 as unknown as string }],
  });
  const { errors } = await runFunction(pair, rowsOf('x'), { databaseUrl: db.url });
  expect(errors).toEqual([
    'TerminalError: the handler of pair returned invalid events: event 0: subject must be text without U+0000, not 42',
  ]);
});

test('a function runs on rows, events and records, and reports what could not be ingested', async ({
  db,
}) => {
  const mixed = defineFunction({
    name: 'mixed',
    parts: {
      row: { table: 'public.item', key: 'k' },
      event: { event: 'com.shop.paid', key: 'subject', columns: ['data.amount'] },
      record: { topic: 'labels', key: 'order.id' },
    },
    // the names of all keys are types
    handle: ({ key, parts }) => [
      {
        type: 'ready',
        data: [key.k, key.subject, key['order.id'], parts.event[0]!.row['data.amount']],
      },
    ],
  });
  const event = 'com.shop.paid';
  const arrivals = [
    { table: 'public.item', row: { id: 1, k: 'x' } },
    { event, id: '1', source: '/shop', attributes: { subject: 'x' }, data: { amount: 3 } },
    { event, id: '1', source: '/shop', attributes: { subject: 'x' }, data: { amount: 4 } },
    { topic: 'labels', value: { order: { id: 'x' } }, offset: 4 },
    { topic: 'labels', value: null },
    { event },
    { event: 'com.shop.other' },
  ];
  expect(await runFunction(mixed, arrivals, { databaseUrl: db.url })).toEqual({
    sets: [{ key: { k: 'x', subject: 'x', 'order.id': 'x' }, status: 'done', missing: [] }],
    events: [{ type: 'ready', subject: 'x', data: ['x', 'x', 'x', 3] }],
    errors: [
      'row 6: subject is not in the event com.shop.paid; part event of mixed names it',
      'row 7: no part of mixed is on event com.shop.other',
    ],
  });
});
