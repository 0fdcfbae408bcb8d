import { expect } from 'vitest';
import { defineFunction } from '../../../src/function.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change } from '../../support/changes.ts';
import { workerOn } from '../../support/worker.ts';
import { seeded } from '../../support/seeded.ts';
import { misjudged, miscounted, runsOf, setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

const pair = defineFunction({
  name: 'pair',
  parts: {
    a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
    b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
  },
  handle() {},
});

const a = () => change('c', 3, { id: 1, k: 'x', kind: 'a' });
const b = () => change('c', 4, { id: 2, k: 'x', kind: 'b' });

for (const [first, second, name] of [
  [a, b, 'a, then b'],
  [b, a, 'b, then a'],
] as const) {
  test(`two replicas that ingest the last two parts at the same moment create one run (${name})`, async ({
    db,
  }) => {
    const one = await workerOn(db, [pair], { slots: 1 });
    const two = await workerOn(db, [pair], { slots: 1 });
    // Both wait for the set's row, in a known order, with snapshots that contain neither part.
    await one.ingestor.ingest(change('c', 1, { id: 9, k: 'x', kind: 'a' }));
    await one.ingestor.ingest(change('d', 2, { id: 9 }));
    const release = await hold(db, `select from muster.sets where key = 'x' for update`);
    const earlier = one.ingestor.ingest(first());
    await blocked(db, 1);
    const later = two.ingestor.ingest(second());
    await blocked(db, 2);
    await release();

    expect(await Promise.all([earlier, later])).toEqual([
      { kind: 'ingested' },
      { kind: 'ingested' },
    ]);
    expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 1], fresh: 2 }]);
    expect(await runsOf(db)).toEqual([
      { key: 'x', revision: 1, complete: true, state: 'running', token: '1', attempt: 1, late: 0 },
    ]);
    expect([one.leases.length, two.leases.length]).toEqual([0, 1]);
  });
}

test('two replicas that make the same new set at the same moment make one run', async ({ db }) => {
  const one = await workerOn(db, [pair], { slots: 1 });
  const two = await workerOn(db, [pair], { slots: 1 });
  // The first transaction has inserted the set's row but not committed: the second waits for it.
  const release = await hold(
    db,
    `insert into muster.sets (function, key_hash, key, counts, fresh, complete, token) values ($1, muster.key_hash('x'), 'x', '{0,0}', 0, false, 0)`,
    [one.served[0]!.id],
  );
  const both = [one.ingestor.ingest(a()), two.ingestor.ingest(b())];
  await blocked(db, 2);
  await release('rollback');
  await Promise.all(both);
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 1], fresh: 2 }]);
  expect(one.leases.length + two.leases.length).toBe(1);
});

test('a part that leaves while another one arrives leaves no run due', async ({ db }) => {
  const one = await workerOn(db, [pair]);
  const two = await workerOn(db, [pair]);
  await one.ingestor.ingest(a());
  const release = await hold(db, `select from muster.sets where key = 'x' for update`);
  const completing = one.ingestor.ingest(b());
  await blocked(db, 1);
  const breaking = two.ingestor.ingest(change('d', 5, { id: 1 }));
  await blocked(db, 2);
  await release();
  await Promise.all([completing, breaking]);
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [0, 1], fresh: 1 }]);
  expect(await runsOf(db)).toEqual([
    { key: 'x', revision: 1, complete: false, state: 'ready', token: '0', attempt: 0, late: 0 },
  ]);
  expect(await one.runs.claim(one.served[0]!.id, one.id, 10)).toEqual([]);
});

test('four writers on hot keys ingest everything, count correctly and never deadlock', async ({
  db,
}) => {
  const counted = defineFunction({
    name: 'counted',
    parts: {
      a: { table: 'public.item', key: 'k', where: { kind: 'a' }, count: 3 },
      b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
      every: { table: 'public.item', key: 'k' },
    },
    overdueAfter: '1 hour',
    handle() {},
  });
  const workers = await Promise.all(
    [1, 2, 3, 4].map(() => workerOn(db, [pair, counted], { slots: 2 })),
  );
  const random = seeded();
  let lsn = 0;
  for (let round = 0; round < 25; round++) {
    await Promise.all(
      workers.flatMap((worker) =>
        Array.from({ length: 40 }, () => {
          const row = {
            id: random.between(1, 14),
            k: `k${random.between(1, 6)}`,
            kind: random.chance(0.5) ? 'a' : 'b',
          };
          return worker.ingestor.ingest(change(random.chance(0.2) ? 'd' : 'u', ++lsn, row));
        }),
      ),
    );
    // concurrently: claims, failures and finished runs, in any order
    await Promise.all(
      workers.map(async (worker) => {
        for (const served of worker.served) {
          worker.leases.push(...(await worker.runs.claim(served.id, worker.id, 5)));
        }
        const leases = worker.leases.splice(0);
        await worker.runs.finish(leases.slice(0, 1).map((lease) => ({ lease, events: [] })));
        for (const lease of leases.slice(1)) await worker.runs.fail(lease, 'again', 0);
      }),
    );
  }
  expect(await miscounted(db)).toEqual([]);
  expect(await misjudged(db)).toEqual([]);
  // 1,000 changes of 14 rows, each with a row per part: part indexes 1 and 2 of pair, 1 to 3 of counted
  expect(
    await db.query('select count(*)::int as n, max(version)::int as newest from muster.member'),
  ).toEqual([{ n: 14 * 5, newest: 4000 }]);
  // A session reports its deadlocks when it ends.
  await Promise.all(workers.map((worker) => worker.close()));
  expect(
    await db.query('select deadlocks from pg_stat_database where datname = current_database()'),
  ).toEqual([{ deadlocks: '0' }]);
}, 60_000);
