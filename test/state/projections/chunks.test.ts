import { expect, onTestFinished } from 'vitest';
import type { SettleContext, Tx } from '../../../src/function.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { chunkOf, feedOn } from '../../support/feed.ts';
import { numbers } from '../../support/numbers.ts';
import { test } from '../../support/numbers-test.ts';
import type { TestDatabase } from '../../support/test.ts';

async function state(db: TestDatabase) {
  const [total] = await db.query<{ records: string; sum: string }>(
    'select records, sum from total',
  );
  const [position] = await db.query<{ next: string }>('select next from muster.position');
  return {
    records: Number(total?.records ?? 0),
    sum: Number(total?.sum ?? 0),
    next: Number(position!.next),
  };
}

const ns = (...values: unknown[]) => values.map((n) => ({ n }));

test('a chunk commits what it writes together with the position', async ({ db }) => {
  const feed = await feedOn(db, numbers());
  expect(await feed.give(0, ns(1, 2, 3))).toEqual({ kind: 'applied', parked: [] });
  expect(await state(db)).toEqual({ records: 3, sum: 6, next: 3 });
  expect(await feed.give(0, ns(4))).toEqual({ kind: 'applied', parked: [] });
  expect(await state(db)).toEqual({ records: 4, sum: 10, next: 4 });
});

test('a chunk that does not begin at the position writes nothing and returns where to continue', async ({
  db,
}) => {
  const feed = await feedOn(db, numbers());
  await feed.give(0, ns(1, 2, 3));
  for (const chunk of [chunkOf(0, ns(1, 2)), chunkOf(2, ns(3, 4)), chunkOf(5, ns(6))]) {
    expect(await feed.apply(chunk)).toEqual({ kind: 'moved', next: 3 });
  }
  expect(await feed.apply({ ...chunkOf(0, ns(1)), partition: 7 })).toEqual({
    kind: 'moved',
    next: null,
  });
  expect(await state(db)).toEqual({ records: 3, sum: 6, next: 3 });
});

test('a chunk whose commit was not answered counts as applied when it is repeated', async ({
  db,
}) => {
  const feed = await feedOn(db, numbers());
  const chunk = chunkOf(0, ns(1, 2, 3));
  await feed.apply(chunk);
  expect(await feed.apply(chunk)).toEqual({ kind: 'applied', parked: [] });
  expect(await state(db)).toEqual({ records: 3, sum: 6, next: 3 });
});

test('of two owners of a partition one applies the records, and the other waits for it first', async ({
  db,
}) => {
  const feed = await feedOn(db, numbers());
  const other = await feedOn(db, numbers());
  const release = await hold(db, 'lock table total');
  const first = feed.apply(chunkOf(0, ns(1, 2, 3)));
  await blocked(db, 1, 'insert into total%');
  const second = other.apply(chunkOf(0, ns(1, 2)));
  await blocked(db, 1, '%update muster.position%');
  await release();
  expect([await first, await second]).toEqual([
    { kind: 'applied', parked: [] },
    { kind: 'moved', next: 3 },
  ]);
  expect(await state(db)).toEqual({ records: 3, sum: 6, next: 3 });
});

test('an error of apply leaves the chunk to be applied again', async ({ db }) => {
  let failures = 1;
  const feed = await feedOn(
    db,
    numbers({
      async apply(records, chunk, tx) {
        await numbers().apply(records, chunk, tx);
        if (failures-- > 0) throw new Error('not now');
      },
    }),
  );
  await expect(feed.give(0, ns(1, 2))).rejects.toThrow('not now');
  expect(await state(db)).toEqual({ records: 0, sum: 0, next: 0 });
  await feed.give(0, ns(1, 2));
  expect(await state(db)).toEqual({ records: 2, sum: 3, next: 2 });
});

test("records that can't be decoded are parked with their position, and the partition continues", async ({
  db,
}) => {
  const feed = await feedOn(db, numbers());
  const values = [{ n: 1 }, Buffer.from('{"n":'), { n: 'two' }, { n: 'skipped' }, { n: 3 }];
  expect(await feed.give(0, values)).toEqual({
    kind: 'applied',
    parked: ['not-a-record', 'not-a-record'],
  });
  expect(await state(db)).toEqual({ records: 2, sum: 4, next: 5 });
  const parked = await db.query(
    `select reason, detail, attributes ->> 'source' as source, attributes ->> 'id' as id,
            convert_from(body, 'utf8') as body
     from muster.parked order by id`,
  );
  expect(parked).toEqual([
    {
      reason: 'not-a-record',
      detail: expect.stringContaining('JSON'),
      source: '/kafka#numbers',
      id: 'partition:0/offset:1',
      body: '{"n":',
    },
    {
      reason: 'not-a-record',
      detail: 'n is "two", not a number',
      source: '/kafka#numbers',
      id: 'partition:0/offset:2',
      body: '{"n":"two"}',
    },
  ]);
});

test('refused records are separated from their chunk, and the others are applied', async ({
  db,
}) => {
  const feed = await feedOn(db, numbers());
  // Postgres refuses 2^31 as an int, the projection refuses -1
  const values = ns(1, 2 ** 31, 2, -1, 'nothing', 3, 4, -1);
  const applied = await feed.give(0, values);
  expect(applied.kind === 'applied' && applied.parked.toSorted()).toEqual([
    'bad-value',
    'not-a-record',
    'refused',
    'refused',
  ]);
  expect(await state(db)).toEqual({ records: 4, sum: 10, next: 8 });
  const parked = await db.query<{ id: string }>(
    `select attributes ->> 'id' as id from muster.parked order by 1`,
  );
  expect(parked.map(({ id }) => id)).toEqual(
    [1, 3, 4, 7].map((offset) => `partition:0/offset:${offset}`),
  );
});

for (const text of [
  'commit',
  '/* */ commit',
  ';commit',
  'select 1; commit',
  'rollback and chain',
]) {
  test(`apply can't end its transaction by ${JSON.stringify(text)}`, async ({ db }) => {
    const feed = await feedOn(
      db,
      numbers({
        async apply(records, chunk, tx) {
          await numbers().apply(records, chunk, tx);
          await tx.query(text).catch(() => {});
          throw new Error('not now');
        },
      }),
    );
    await expect(feed.give(0, ns(1))).rejects.toThrow('not now');
    expect(await state(db)).toEqual({ records: 0, sum: 0, next: 0 });
  });
}

test('if apply hides an SQL error, nothing is applied, and the reason is reported', async ({
  db,
}) => {
  const feed = await feedOn(
    db,
    numbers({
      async apply(records, chunk, tx) {
        await numbers().apply(records, chunk, tx);
        await tx.query('select * from nowhere').catch(() => {});
      },
    }),
  );
  await expect(feed.give(0, ns(1))).rejects.toThrow('relation "nowhere" does not exist');
  expect(await state(db)).toEqual({ records: 0, sum: 0, next: 0 });
});

test('a record is parked even if apply hides its rejection by the database, and the others are applied', async ({
  db,
}) => {
  const feed = await feedOn(
    db,
    numbers({
      apply: (...given) =>
        numbers()
          .apply(...given)
          .catch(() => {}),
    }),
  );
  const applied = await feed.give(0, ns(1, 2 ** 31, 3));
  expect(applied).toEqual({ kind: 'applied', parked: ['bad-value'] });
  expect(await state(db)).toEqual({ records: 2, sum: 4, next: 3 });
});

test('a query that apply does not await is written, or nothing is applied', async ({ db }) => {
  let text = `insert into total values (7, 1, 1)`;
  const feed = await feedOn(
    db,
    numbers({ apply: (_records, _chunk, tx) => void tx.query(text) as never }),
  );
  await feed.give(0, ns(1));
  expect(await state(db)).toEqual({ records: 1, sum: 1, next: 1 });
  text = 'select * from nowhere';
  await expect(feed.give(0, ns(1))).rejects.toThrow('"nowhere" does not exist');
  expect(await state(db)).toEqual({ records: 1, sum: 1, next: 1 });
});

test('a query of apply that comes too late is refused, and the process survives', async ({
  db,
}) => {
  const unhandled: unknown[] = [];
  const hear = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', hear);
  onTestFinished(() => void process.off('unhandledRejection', hear));
  let late: Tx | undefined;
  const feed = await feedOn(
    db,
    numbers({
      async apply(_records, _chunk, tx) {
        late = tx;
      },
    }),
  );
  await feed.give(0, ns(1));
  void late!.query('insert into total values (7, 1, 1)');
  await expect(late!.query('select 1')).rejects.toThrow('the transaction has ended');
  await db.query('select');
  expect(unhandled).toEqual([]);
  expect(await state(db)).toEqual({ records: 0, sum: 0, next: 1 });
});

test('the next chunk does not see changes that apply made to its session', async ({ db }) => {
  const seen: unknown[] = [];
  const feed = await feedOn(
    db,
    numbers({
      async apply(_records, { from }, tx) {
        const { rows } = await tx.query(`select pg_backend_pid() as pid,
          current_setting('search_path') as path, current_setting('statement_timeout') as time,
          to_regclass('pg_temp.kept') as kept,
          (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks`);
        seen.push(rows[0]);
        if (from > 0) return;
        await tx.query('set search_path = muster');
        await tx.query(`select set_config('statement_timeout', '1s', false)`);
        await tx.query('create temp table kept ()');
        await tx.query('select pg_advisory_lock(7)');
      },
    }),
  );
  await feed.give(0, ns(1));
  await expect.poll(() => feed.database.chunks.idleCount).toBe(1);
  await feed.give(0, ns(1));
  expect(seen[1]).toEqual(seen[0]);
});

test('records are parked with our own search path, even if apply has set another one', async ({
  db,
}) => {
  await db.query(`
    create schema elsewhere;
    create table seen (path text);
    create function public.see() returns trigger language plpgsql as
      $$ begin insert into public.seen values (current_setting('search_path')); return new; end $$;
    create trigger see before insert on muster.parked for each row execute function public.see()`);
  const feed = await feedOn(
    db,
    numbers({
      async apply(records, chunk, tx) {
        await numbers().apply(records, chunk, tx);
        await tx.query('set local search_path = elsewhere');
      },
    }),
  );
  expect(await feed.give(0, [{ n: 1 }, Buffer.from('{')])).toEqual({
    kind: 'applied',
    parked: ['not-a-record'],
  });
  expect(await db.query('select path from seen')).toEqual([{ path: 'pg_catalog, pg_temp' }]);
});

test('a trigger that is deferred to the commit uses the search path of apply', async ({ db }) => {
  await db.query(`
    create table noted ();
    create function note() returns trigger language plpgsql as
      $$ begin insert into noted default values; return null; end $$;
    create constraint trigger note after insert on applied deferrable initially deferred
      for each row execute function note()`);
  const feed = await feedOn(db, numbers());
  await feed.give(0, [{ n: 1 }, Buffer.from('{')]);
  expect(await db.query('select from noted')).toEqual([{}]);
});

test('if settle hides an SQL error, nothing is written, and the reason is reported', async ({
  db,
}) => {
  await db.query('create table settled ()');
  const feed = await feedOn(
    db,
    numbers({
      async settle(tx) {
        await tx.query('insert into settled default values');
        await tx.query('select * from nowhere').catch(() => {});
      },
    }),
  );
  await expect(feed.settle()).rejects.toThrow('relation "nowhere" does not exist');
  expect(await db.query('select * from settled')).toEqual([]);
});

test('settle runs in one process at a time and gets the position of every partition', async ({
  db,
}) => {
  const seen: SettleContext[] = [];
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const projection = numbers({
    async settle(tx, context) {
      await tx.query('select 1');
      seen.push(context);
      if (seen.length === 1) await gate;
      return seen.length === 1;
    },
  });
  const feed = await feedOn(db, projection, 2);
  const other = await feedOn(db, projection, 2);
  await feed.give(1, ns(1, 2));
  const first = feed.settle();
  await expect.poll(() => seen.length).toBe(1);
  expect(await other.settle()).toBe(false);
  expect(seen.length).toBe(1);
  open();
  expect(await first).toBe(true);
  await other.settle();
  expect(seen[1]!.positions).toEqual([
    { topic: 'numbers', partition: 0, next: 0, end: 0, reportedAt: expect.any(Date) },
    { topic: 'numbers', partition: 1, next: 2, end: 2, reportedAt: expect.any(Date) },
  ]);
});

test('a stopped position accepts no chunk', async ({ db }) => {
  const feed = await feedOn(db, numbers());
  await feed.give(0, ns(1));
  await feed.positions.rest(0, 'until an operator decides');
  expect(await feed.give(0, ns(2))).toEqual({ kind: 'moved', next: 1 });
  expect(await state(db)).toEqual({ records: 1, sum: 1, next: 1 });
});

test('a position has the timestamp of the record before it, even in the middle of a chunk', async ({
  db,
}) => {
  const apply = numbers().apply.bind(null);
  const feed = await feedOn(
    db,
    numbers({
      apply(records, chunk, tx) {
        const values = records.map(({ n }) => n);
        if (!values.includes(-1) && values.includes(99)) throw new Error('away');
        return apply(records, chunk, tx);
      },
    }),
  );
  await expect(feed.apply(chunkOf(0, ns(1, 2, -1, 99)))).rejects.toThrow('away');
  expect(await db.query('select next::int, last_timestamp::int from muster.position')).toEqual([
    { next: 3, last_timestamp: 1_002 },
  ]);
});

test('records that an unanswered attempt parked are counted when the chunk is repeated', async ({
  db,
}) => {
  const feed = await feedOn(db, numbers());
  const chunk = chunkOf(0, ns(1, 'x'));
  const applied = { kind: 'applied', parked: ['not-a-record'] };
  expect(await feed.apply(chunk)).toEqual(applied);
  expect(await feed.apply(chunk)).toEqual(applied);
  expect(await db.query('select seen::int from muster.parked')).toEqual([{ seen: 1 }]);
});
