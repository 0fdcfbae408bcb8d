import { expect } from 'vitest';
import { defineFunction } from '../../src/function.ts';
import { purge } from '../../src/state/purge.ts';
import { reEvaluate } from '../../src/state/ingest/re-evaluate.ts';
import { workerOn } from '../support/worker.ts';
import { test } from '../support/test.ts';

const part = { table: 'public.item', key: 'k' } as const;
const one = defineFunction({ name: 'one', parts: { a: part }, handle() {} });
const two = defineFunction({ name: 'one', parts: { a: { ...part, count: 2 } }, handle() {} });

/** Reports that the process is stopping from the given call on. */
function stoppedAfter(times: number): () => boolean {
  let asked = 0;
  return () => ++asked > times;
}

test('a purge stops between two pages when its process stops', async ({ db }) => {
  const worker = await workerOn(db, [one]);
  await db.query(
    `insert into muster.sets (function, key_hash, key, counts, fresh, complete, token)
     select $1, muster.key_hash(n::text), n::text, '{0}', 1, false, 0 from generate_series(1, 1200) n`,
    [worker.served[0]!.id],
  );
  await db.query(`
    insert into muster.run (function, key, revision, complete, state, token, attempt, due_at, created_at, finished_at)
    select function, key, 1, true, 'done', 1, 1, '2020-01-01', '2020-01-01', '2020-01-01' from muster.sets
  `);
  const functions = [{ definition: one, served: worker.served[0]! }];
  expect(
    await purge(worker.database, functions, { tombstoneSeconds: 1, stopped: stoppedAfter(3) }), // checked before the parts, the page of sets and its rows
  ).toMatchObject({ sets: 500 });
  expect(
    await purge(worker.database, functions, { tombstoneSeconds: 1, stopped: stoppedAfter(0) }),
  ).toMatchObject({ sets: 0 });
});

test('a re-evaluation stops between two pages when its process stops, and the next process restarts it', async ({
  db,
}) => {
  await workerOn(db, [one]);
  const worker = await workerOn(db, [two]);
  await db.query(
    `insert into muster.sets (function, key_hash, key, counts, fresh, complete, token)
     select $1, muster.key_hash(n::text), n::text, '{2}', 1, false, 0 from generate_series(1, 600) n`,
    [worker.served[0]!.id],
  );
  const created = async () => (await db.query('select from muster.run')).length;
  await reEvaluate(worker.database, worker.store, worker.served, stoppedAfter(1));
  expect(await created()).toBe(256);
  await reEvaluate(worker.database, worker.store, worker.served);
  expect(await created()).toBe(600);
});
