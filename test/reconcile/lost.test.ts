import fc from 'fast-check';
import { expect, onTestFinished } from 'vitest';
import { Random } from '../../dev/lib/random.ts';
import { defineFunction, type FunctionDefinition } from '../../src/function.ts';
import { specify } from '../../src/definitions/specification.ts';
import { parseLsn } from '../../src/intake/wal/lsn.ts';
import { reconcile } from '../../src/reconcile/reconcile.ts';
import type { RowChange } from '../../src/state/change.ts';
import { register } from '../../src/state/registration/register.ts';
import { storedFunction } from '../../src/state/registration/stored-function.ts';
import { change } from '../support/changes.ts';
import { seededRuns } from '../support/seeded.ts';
import { miscounted, misjudged } from '../support/state.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { databaseOn, workerWith } from '../support/worker.ts';

const RUNS = Number(process.env['MUSTER_RECONCILE_RUNS'] ?? 50);
/** The histories lie further back than the minute in which a change counts as newer than a read. */
const AGO_MS = 300_000;

const step = fc.record({
  id: fc.integer({ min: 1, max: 4 }),
  key: fc.constantFrom('x', 'x', 'x', 'y', null),
  kind: fc.constantFrom('a', 'a', 'b', 'b', 'none'),
  isDelete: fc.nat(4).map((n) => n === 0),
  isLost: fc.boolean(),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;
const history = fc.record({
  steps: fc.array(step, { minLength: 3, maxLength: 12 }),
  later: fc.array(step, { maxLength: 4 }),
  shuffle: fc.nat(),
});

test('whatever was lost, after a repair the sets are those of the table, and stay so when it arrives', async ({
  db,
}) => {
  const database = databaseOn(db, 2);
  onTestFinished(() => database.close());
  const tally = { histories: 0, lost: 0, differences: 0, completed: 0 };
  await fc.assert(
    fc.asyncProperty(history, async ({ steps, later, shuffle }) => {
      const name = `r${++tally.histories}`;
      const random = new Random(shuffle);
      const shuffled = (changes: readonly RowChange[]) =>
        changes
          .map((each) => [random.next(), each] as const)
          .toSorted(([one], [other]) => one - other)
          .map(([, each]) => each);
      await db.query(`create table ${name} (id int primary key, k text, kind text)`);
      const served = await register(database, specify(define(name)));
      const worker = await workerWith(database, [served]);
      const happened = await happen(db, name, steps, Date.now() - AGO_MS);
      const made = happened.map(([each]) => each);
      const arrived = happened.filter(([, { isLost }]) => !isLost).map(([each]) => each);
      for (const each of shuffled(arrived)) await worker.ingestor.ingest(each);
      await worker.positions.register(name);
      await worker.positions.exchange();

      const fn = (await storedFunction(database, name))!;
      const options = {
        url: db.url,
        connector: name,
        waitMs: 0,
        repairs: true,
        trusts: true,
        rerunsForgotten: false,
        say() {},
      };
      const found = await reconcile(database, fn, options);
      expect(found.repaired).toBe(found.differences.length);
      expect(await held(db, name)).toEqual(await inTable(db, name));

      for (const each of shuffled(made)) await worker.ingestor.ingest(each);
      expect(await held(db, name)).toEqual(await inTable(db, name));
      const newer = (await happen(db, name, later, Date.now())).map(([each]) => each);
      for (const each of shuffled([...newer, ...made])) await worker.ingestor.ingest(each);
      expect(await held(db, name)).toEqual(await inTable(db, name));
      expect([await miscounted(db, [served.id]), await misjudged(db, [served.id])]).toEqual([
        [],
        [],
      ]);
      tally.lost += made.length - arrived.length;
      tally.differences += found.differences.length;
      const [{ n }] = (await db.query<{ n: number }>(
        'select count(*)::int as n from muster.sets where function = $1 and complete',
        [served.id],
      )) as [{ n: number }];
      tally.completed += n;
    }),
    seededRuns(RUNS),
  );
  console.info(JSON.stringify(tally));
  // the test proves nothing unless these things happened
  expect(Math.min(...Object.values(tally))).toBeGreaterThan(0);
}, 120_000);

function define(name: string): FunctionDefinition {
  const part = (kind: string) => ({ table: `public.${name}`, key: 'k', where: { kind } });
  const parts = { a: part('a'), b: part('b') };
  return defineFunction({ name, parts, history: 'run', handle() {} });
}

/** Executes the steps in the table, and returns the changes of those that changed something, at their positions. */
async function happen(
  db: TestDatabase,
  table: string,
  steps: readonly Step[],
  from: number,
): Promise<[RowChange, Step][]> {
  const changes: [RowChange, Step][] = [];
  for (const [i, taken] of steps.entries()) {
    const { id, key, kind, isDelete } = taken;
    const more = { source: table, stream: `public.${table}`, at: from + i, lsn: await logEnd(db) };
    if (isDelete) {
      const gone = await db.query(`delete from ${table} where id = $1 returning id`, [id]);
      if (gone.length > 0) changes.push([change('d', 0, { id }, more), taken]);
    } else {
      await db.query(
        `insert into ${table} values ($1, $2, $3) on conflict (id) do update set k = $2, kind = $3`,
        [id, key, kind],
      );
      changes.push([change('u', 0, { id, k: key, kind }, more), taken]);
    }
  }
  return changes;
}

async function logEnd(db: TestDatabase): Promise<bigint> {
  const rows = await db.query<{ lsn: string }>('select pg_current_wal_insert_lsn() as lsn');
  return parseLsn(rows[0]!.lsn);
}

async function held(db: TestDatabase, name: string) {
  return db.query(
    `select m.id::int, s.key as k, p.name as kind from muster.member m join muster.function f on f.id = m.function
     join muster.sets s on s.function = m.function and s.key_hash = m.key_hash
     join muster.part p on p.function = m.function and p.part_index = m.part_index
     where f.name = $1 and m.in_set order by m.id`,
    [name],
  );
}

async function inTable(db: TestDatabase, name: string) {
  return db.query(
    `select id, k, kind from ${name} where k is not null and kind in ('a', 'b') order by id`,
  );
}
