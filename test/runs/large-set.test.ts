import { expect } from 'vitest';
import { LOAD_BYTES } from '../../src/runs/loader.ts';
import { partsOf } from '../../src/definitions/registered-function.ts';
import { loadMembers, measureSet } from '../../src/state/runs/load-members.ts';
import { blocked, hold } from '../support/blocked.ts';
import { engineOn } from '../support/engine.ts';
import { leaseOf } from '../support/leases.ts';
import { pairOf } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { runsOf } from '../support/state.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;

/** Creates a due set with this number of rows; `random` text can't be compressed. */
async function due(db: TestDatabase, key: string, rows: number, bytes: number, random = true) {
  const text = random
    ? `(select string_agg(md5(r.n::text || i::text || $1), '') from generate_series(1, $3::int / 32) i)`
    : `repeat('x', $3::int)`;
  await db.query(
    `insert into muster.member (function, part_index, source, id, version, at, key_hash, in_set, columns, since)
     select 1, 1, 1, $1 || r.n, r.n, 0, muster.key_hash($1), true, jsonb_build_object('text', ${text}), now()
     from generate_series(1, $2::int) r (n)`,
    [key, rows, bytes],
  );
  await db.query(
    `insert into muster.run (function, key, revision, complete, state, token, attempt, due_at, created_at)
     values (1, $1, 1, true, 'ready', 0, 0, now(), now())`,
    [key],
  );
}

test('sets are loaded in order up to the limit, and a compressed column counts with its full length', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await due(db, 'a', 2, 64);
  await due(db, 'b', 3, MIB, false);
  await due(db, 'c', 2, 64);
  const leases = ['a', 'b', 'c', 'none'].map((key) => leaseOf(key));
  const load = async (bytes: number) =>
    (await loadMembers(worker.database, partsOf(worker.served), leases, bytes)).map(
      (set) => set?.members.length ?? null,
    );
  expect(await load(4 * MIB)).toEqual([2, 3, 2, 0]);
  expect(await load(2 * MIB)).toEqual([2, null, null, 0]);
  expect(await measureSet(worker.database, leases[1]!)).toMatchObject({ rows: 3 });
  expect((await measureSet(worker.database, leases[1]!)).bytes).toBeGreaterThan(3 * MIB);
  expect(await measureSet(worker.database, leaseOf('none'))).toEqual({ rows: 0, bytes: 0 });
});

test('a set above the limit fails permanently, with its size in the error, and other sets run', async ({
  db,
}) => {
  const handled: string[] = [];
  const definition = pairOf({ handle: (set) => void handled.push(set.keyText) });
  await workerOn(db, [definition]);
  await due(db, 'huge', 30, MIB, false);
  for (let i = 0; i < 12; i++) await due(db, `small ${i}`, 2, 64);
  const engine = await engineOn(db, [definition], { SET_LIMIT_MIB: '16', CONCURRENCY: '4' });
  await until(async () => (await runsOf(db)).every(({ state }) => /done|failed/.test(state)));
  expect(await db.query(`select key, error from muster.run where state = 'failed'`)).toEqual([
    {
      key: 'huge',
      error:
        'SetTooLarge: the set has 30 rows with 30 MiB of kept columns; the maximum is 16 MiB (SET_LIMIT_MIB)',
    },
  ]);
  expect(handled.length).toBe(12);
  await engine.stop();
});

test('a limit below the size of a combined load applies, too', async ({ db }) => {
  const handled: string[] = [];
  const definition = pairOf({ handle: (set) => void handled.push(set.keyText) });
  await workerOn(db, [definition]);
  await due(db, 'large', 2, MIB);
  for (let i = 0; i < 12; i++) await due(db, `small ${i}`, 2, MIB / 8);
  const engine = await engineOn(db, [definition], { SET_LIMIT_MIB: '1', CONCURRENCY: '4' });
  await until(async () => (await runsOf(db)).every(({ state }) => /done|failed/.test(state)));
  expect(await db.query(`select key from muster.run where state = 'failed'`)).toEqual([
    { key: 'large' },
  ]);
  expect(handled.length).toBe(12);
  await engine.stop();
});

test('large sets are loaded one at a time, and smaller ones overtake them', async ({ db }) => {
  const gates: PromiseWithResolvers<void>[] = [];
  const handled: [string, number][] = [];
  const definition = pairOf({
    async handle(set) {
      handled.push([set.keyText, set.parts['a']!.length]);
      if (!set.keyText.startsWith('large')) return;
      const gate = Promise.withResolvers<void>();
      gates.push(gate);
      await gate.promise;
    },
  });
  const worker = await workerOn(db, [definition]);
  for (const key of ['large 1', 'large 2']) await due(db, key, 12, MIB);
  await due(db, 'small', 2, 64);
  expect(12 * MIB).toBeGreaterThan(LOAD_BYTES);
  const engine = await engineOn(db, [definition], { CONCURRENCY: '4' });
  await until(() => handled.length === 2);
  // longer than it takes to load the other one
  for (let i = 0; i < 4; i++) {
    await loadMembers(worker.database, partsOf(worker.served), [leaseOf('large 2')], 100 * MIB);
  }
  expect(handled.map(([key]) => key).toSorted()).toEqual(['large 1', 'small']);
  gates[0]!.resolve();
  await until(() => gates.length === 2);
  gates[1]!.resolve();
  await until(async () => (await runsOf(db)).every(({ state }) => state === 'done'));
  expect(handled).toContainEqual(['large 2', 12]);
  await engine.stop();
}, 30_000);

test("sets that the database can't load together in time are loaded one by one, and don't delay others", async ({
  db,
}) => {
  const handled: string[] = [];
  const definition = pairOf({
    retry: { attempts: 2 },
    handle: (set) => void handled.push(set.keyText),
  });
  await workerOn(db, [definition]);
  for (const key of ['x', 'y', 'z']) await due(db, key, 2, 64);
  await db.query(`update muster.run set due_at = now() + interval '1 hour'`);
  const engine = await engineOn(db, [definition], { STATEMENT_TIMEOUT_SECONDS: '1' });
  // blocks reads of the members until their statement times out
  const release = await hold(db, 'lock table muster.member in access exclusive mode');
  await db.query(`update muster.run set due_at = now()`);
  await blocked(db, 1, '%pg_column_compression%');
  await until(() =>
    engine.lines.some(({ message }) => message === 'the rows of sets could not be loaded together'),
  );
  await release();
  await until(async () => (await runsOf(db)).every(({ state }) => /done|failed/.test(state)));
  expect(handled.toSorted()).toEqual(['x', 'y', 'z']);
  await engine.stop();
});
