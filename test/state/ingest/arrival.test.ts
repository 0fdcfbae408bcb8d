import { expect } from 'vitest';
import { defineFunction } from '../../../src/function.ts';
import { UNAVAILABLE, type Change } from '../../../src/state/change.ts';
import { change, read, truncate } from '../../support/changes.ts';
import { workerOn } from '../../support/worker.ts';
import { setsOf } from '../../support/state.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const kept = defineFunction({
  name: 'kept',
  parts: {
    a: { table: 'public.item', key: 'k', where: { kind: 'a' }, columns: ['note'] },
    b: { table: 'public.item', key: 'k', where: { kind: 'b' }, columns: ['note'] },
  },
  history: 'run',
  handle() {},
});

const SECOND = 1000;
const row = (k: string, note: unknown = 'first', kind = 'a') => ({ id: 1, k, kind, note });
/** A streamed change with this commit time. */
const at = (ms: number, op: 'c' | 'u' | 'd', lsn: number, columns: object) => {
  const made = change(op, lsn, columns as Record<string, unknown>);
  return { ...made, at: made.at - lsn + ms };
};
const missing = UNAVAILABLE;

/** The members of the row after these messages, in any order. */
const table: [name: string, messages: Change[], held: object[]][] = [
  [
    'two changes',
    [change('c', 1, row('x')), change('u', 2, row('y', 'second'))],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  [
    'a create and a delete without a row image',
    [change('c', 1, row('x')), change('d', 2, { id: 1 })],
    [],
  ],
  [
    'a row that is deleted and created again',
    [change('c', 1, row('x')), change('d', 2, { id: 1 }), change('c', 3, row('y', 'second'))],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  [
    'a row that moves to another part',
    [change('c', 1, row('x')), change('u', 2, row('x', 'first', 'b'))],
    [{ part: 'b', key: 'x', note: 'first' }],
  ],
  [
    'a row that leaves every part',
    [change('c', 1, row('x')), change('u', 2, row('x', 'first', 'z'))],
    [],
  ],
  [
    'a read, and a change after it',
    [at(0, 'u', 5, row('y', 'second')), read(-1 * SECOND, row('x'))],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  [
    'a read less than 60 s after a change, whose order is uncertain',
    [at(0, 'u', 5, row('y', 'second')), read(59 * SECOND, row('x'))],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  [
    'a read more than 60 s after a change that was never sent',
    [at(0, 'u', 5, row('x')), read(61 * SECOND, row('y', 'second'))],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  [
    'two reads',
    [read(0, row('x')), read(1, row('y', 'second'))],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  ['a truncate and a change before it', [change('c', 1, row('x')), truncate(2)], []],
  ['a truncate and a read before it', [read(-61 * SECOND, row('x')), truncate(2)], []],
  [
    'a truncate and a change after it',
    [change('c', 1, row('x')), truncate(2), change('c', 3, row('y', 'second'))],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  ['two truncates', [truncate(2), truncate(4), change('c', 3, row('x'))], []],
  [
    'an update that does not send a stored column',
    [change('c', 1, row('x')), change('u', 2, row('y', missing))],
    [{ part: 'a', key: 'y', note: 'first' }],
  ],
  [
    'two such updates and a complete one between them',
    [
      change('c', 1, row('x')),
      change('u', 2, row('x', missing)),
      change('u', 3, row('x', 'second')),
      change('u', 4, row('y', missing)),
    ],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  [
    'the same in one transaction, all with the same time',
    [at(0, 'c', 1, row('x')), at(0, 'u', 2, row('x', 'second')), at(0, 'u', 3, row('y', missing))],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  [
    'an update without the column that moves the row to another part',
    [change('c', 1, row('x')), change('u', 2, row('x', missing, 'b'))],
    [{ part: 'b', key: 'x', note: 'first' }],
  ],
  [
    'a column not sent after the row was created again, whose earlier value is obsolete',
    [
      change('c', 1, row('x')),
      change('d', 2, { id: 1 }),
      change('c', 3, row('x', 'second')),
      change('u', 4, row('y', missing)),
    ],
    [{ part: 'a', key: 'y', note: 'second' }],
  ],
  [
    'a column that only a read carried',
    [read(-1 * SECOND, row('x')), change('u', 2, row('y', missing))],
    [{ part: 'a', key: 'y', note: 'first' }],
  ],
];

for (const [name, messages, held] of table) {
  test(`in any order, twice or concurrently: ${name}`, async ({ db }) => {
    const results: unknown[] = [];
    const worker = await workerOn(db, [kept]);
    for (const order of permutations(messages)) {
      for (const message of order) await worker.ingestor.ingest(message);
      results.push(await state(db));
      for (const message of order) await worker.ingestor.ingest(message);
      results.push(await state(db));
      await empty(db);
      await Promise.all(order.map((message) => worker.ingestor.ingest(message)));
      results.push(await state(db));
      await empty(db);
    }
    const sets = held.map((each) => {
      const { part, key } = each as { part: string; key: string };
      return { key, counts: part === 'a' ? [1, 0] : [0, 1], fresh: 1 };
    });
    expect(results).toEqual(results.map(() => ({ held, sets })));
  });
}

test('a change of the next epoch replaces one of the previous epoch, in both orders', async ({
  db,
}) => {
  const worker = await workerOn(db, [kept]);
  const results: unknown[] = [];
  for (const [first, second] of [
    [0, 1],
    [1, 0],
  ]) {
    const sent = [
      change('u', 9000, row('x')),
      change('u', 1, row('y', 'second'), { at: Date.now() + 600_000 }),
    ];
    for (const epoch of [first!, second!]) {
      await db.query('delete from muster.source');
      await db.query(
        `insert into muster.source (name, id, first_epoch) values ('test', 1000, $1)`,
        [epoch],
      );
      const fresh = await workerOn(db, [kept]);
      await fresh.positions.exchange();
      expect(await fresh.ingestor.ingest(sent[epoch]!)).toEqual({ kind: 'ingested' });
    }
    results.push(await state(db));
    await empty(db);
  }
  await worker.close();
  const expected = {
    held: [{ part: 'a', key: 'y', note: 'second' }],
    sets: [{ key: 'y', counts: [1, 0], fresh: 1 }],
  };
  expect(results).toEqual([expected, expected]);
});

async function state(db: TestDatabase) {
  const held = await db.query(
    `select p.name as part, sets.key, m.columns ->> 'note' as note
     from muster.member m join muster.sets using (function, key_hash) join muster.part p on p.function = m.function and p.part_index = m.part_index where in_set`,
  );
  const sets = await setsOf(db);
  return { held, sets: sets.filter((set) => set.counts.some((n) => n !== 0)) };
}

async function empty(db: TestDatabase) {
  await db.query(`
    delete from muster.member; delete from muster.sets; delete from muster.run; delete from muster.truncation`);
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) =>
    permutations([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest]),
  );
}
