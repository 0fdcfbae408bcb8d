import { expect } from 'vitest';
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
