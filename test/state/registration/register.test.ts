import { expect } from 'vitest';
import { specify } from '../../../src/definitions/specification.ts';
import { register, registered, Superseded } from '../../../src/state/registration/register.ts';
import { reEvaluate } from '../../../src/state/ingest/re-evaluate.ts';
import { blocked, hold } from '../../support/blocked.ts';
import { change } from '../../support/changes.ts';
import { pairOf, partA, partB } from '../../support/pair.ts';
import { databaseOn, workerOn, workerWith } from '../../support/worker.ts';
import { misjudged, miscounted, runsOf, setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

const part = (kind: string) => ({ table: 'public.item', key: 'k', where: { kind } });
/** Sixteen parts, the maximum. */
const kinds = (from: number) =>
  Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`p${from + i}`, part(`${from + i}`)]));
const both = pairOf();
const either = pairOf({ complete: { atLeast: 1, of: ['a', 'b'] } });
const one = pairOf({ parts: { a: part('a') } });

test('registering twice changes nothing; a new definition is the next generation', async ({
  db,
}) => {
  const first = await workerOn(db, [both]);
  const again = await workerOn(db, [both]);
  const next = await workerOn(db, [either]);
  const facts = [first, again, next].map(({ served: [served] }) => [
    served!.id,
    served!.generation,
    Object.fromEntries(served!.partIndexOf),
  ]);
  expect(facts).toEqual([
    [1, 1, { a: 1, b: 2 }],
    [1, 1, { a: 1, b: 2 }],
    [1, 2, { a: 1, b: 2 }],
  ]);
});

test('a process that starts finds its registered definitions, and none of another definition', async ({
  db,
}) => {
  const renamed = pairOf({ parts: { b: part('b'), c: part('c') } });
  const { database } = await workerOn(db, [both]);
  const known = async (...definitions: (typeof both)[]) =>
    [...(await registered(database, definitions.map(specify))).values()].map((served) => [
      served.id,
      served.generation,
      Object.fromEntries(served.partIndexOf),
    ]);
  expect(await known()).toEqual([]);
  expect(await known(both)).toEqual([[1, 1, { a: 1, b: 2 }]]);
  expect(await known(renamed)).toEqual([]);
  await register(database, specify(renamed));
  expect(await known(both)).toEqual([]);
  expect(await known(renamed)).toEqual([[1, 2, { b: 2, c: 1 }]]);
});

test('a worker with an older definition ingests nothing', async ({ db }) => {
  const old = await workerOn(db, [both]);
  await workerOn(db, [either]);
  await expect(old.ingestor.ingest(partA())).rejects.toMatchObject({
    name: 'Unavailable',
    reason: 'superseded',
  });
  expect(await db.query('select * from muster.member')).toEqual([]);
});

test('registration waits for a batch in progress; the next batch sees the new definition', async ({
  db,
}) => {
  const old = await workerOn(db, [both]);
  await old.ingestor.ingest(partA());
  const release = await hold(db, `select from muster.sets for update`);
  const underWay = old.ingestor.ingest(partB());
  await blocked(db, 1);
  const registering = workerOn(db, [either]);
  await blocked(db, 1, 'lock table%');
  const otherPod = await workerWith(old.database, old.served);
  const late = otherPod.ingestor.ingest(partA('y')).catch((error: unknown) => error);
  await release();
  expect(await underWay).toEqual({ kind: 'ingested' });
  expect(await late).toMatchObject({ reason: 'superseded' });
  await registering;
  expect(await runsOf(db)).toMatchObject([{ key: 'x', complete: true }]);
});

test('a superseded definition is refused until it is adopted', async ({ db }) => {
  await workerOn(db, [both]);
  const next = await workerOn(db, [either]);
  await expect(workerOn(db, [both])).rejects.toThrow(Superseded);
  const back = await register(next.database, specify(both), true);
  expect([back.generation, Object.fromEntries(back.partIndexOf)]).toEqual([3, { a: 1, b: 2 }]);
  await expect(next.ingestor.ingest(partA())).rejects.toMatchObject({ reason: 'superseded' });
  expect((await workerOn(db, [both])).served[0]!.generation).toBe(3);
});

test('workers that register at the same time agree, and one of them does the work', async ({
  db,
}) => {
  const workers = await Promise.all([1, 2, 3, 4, 5, 6].map(() => workerOn(db, [both])));
  expect(workers.map(({ served }) => served)).toEqual(workers.map(() => workers[0]!.served));
  expect(await db.query('select generation from muster.definition')).toEqual([{ generation: 1 }]);
  const next = await Promise.all([1, 2, 3].map(() => workerOn(db, [either])));
  expect(next.map(({ served }) => served[0]!.generation)).toEqual([2, 2, 2]);
});

test('re-evaluation runs sets that a new rule completes, and withdraws those that it does not', async ({
  db,
}) => {
  const old = await workerOn(db, [both]);
  for (const each of [partA('p'), partA('q'), partB('q'), partA('r'), partB('r')]) {
    await old.ingestor.ingest(each);
  }
  const [q] = await old.runs.claim(1, old.id, 1);
  await old.runs.finish([{ lease: q!, events: [] }]);
  const run = { revision: 1, state: 'ready', token: '0', attempt: 0, late: 0 };
  const done = { key: 'q', ...run, complete: true, state: 'done', token: '1', attempt: 1 };
  expect(await runsOf(db)).toEqual([done, { key: 'r', ...run, complete: true }]);

  const loose = await workerOn(db, [either]);
  await reEvaluate(loose.database, loose.store, loose.served);
  expect(await runsOf(db)).toEqual([
    { key: 'p', ...run, complete: true },
    done,
    { key: 'r', ...run, complete: true },
  ]);

  const three = pairOf({ parts: { ...both.parts, c: part('c') } });
  const strict = await workerOn(db, [three]);
  await reEvaluate(strict.database, strict.store, strict.served);
  expect(await runsOf(db)).toEqual([
    { key: 'p', ...run, complete: false },
    { ...done, complete: false },
    { key: 'r', ...run, complete: false },
  ]);
  expect(await strict.runs.claim(1, strict.id, 10)).toEqual([]);
  expect([await miscounted(db), await misjudged(db)]).toEqual([[], []]);
  expect(await db.query('select generation, evaluated_generation from muster.function')).toEqual([
    { generation: 3, evaluated_generation: 3 },
  ]);
});

test('a run that is complete only by the old rule is not claimed, even before its re-evaluation', async ({
  db,
}) => {
  const old = await workerOn(db, [both]);
  for (const k of ['p', 'q']) {
    await old.ingestor.ingest(partA(k));
    await old.ingestor.ingest(partB(k));
  }
  const strict = await workerOn(db, [pairOf({ parts: { ...both.parts, c: part('c') } })]);
  await strict.ingestor.ingest(change('c', 50, { id: 'qc', k: 'q', kind: 'c' }));
  const claimed = await strict.runs.claim(1, strict.id, 10);
  expect(claimed.map(({ key }) => key)).toEqual(['q']);
});

test('re-evaluation leaves done runs alone, and failed ones whose result is the same', async ({
  db,
}) => {
  const old = await workerOn(db, [both]);
  for (const each of [partA('x'), partB('x'), partA('y'), partB('y')]) {
    await old.ingestor.ingest(each);
  }
  const [x, y] = await old.runs.claim(1, old.id, 2);
  await old.runs.finish([{ lease: x!, events: [] }]);
  await old.runs.fail(y!, 'never', null);
  const before = await db.query('select * from muster.run order by key');
  const loose = await workerOn(db, [either]);
  await reEvaluate(loose.database, loose.store, loose.served);
  expect(await db.query('select * from muster.run order by key')).toEqual(before);
});

test('re-evaluation of more than a page of sets, during intake, omits none', async ({ db }) => {
  const old = await workerOn(db, [both]);
  const keys = Array.from({ length: 600 }, (_, i) => `k${i}`);
  await Promise.all(keys.map((key) => old.ingestor.ingest(partA(key))));
  const [loose, other] = await Promise.all([workerOn(db, [either]), workerOn(db, [either])]);
  await Promise.all([
    reEvaluate(loose.database, loose.store, loose.served),
    reEvaluate(other.database, other.store, other.served),
    ...keys.filter((_, i) => i % 3 === 0).map((key) => other.ingestor.ingest(partA(key, 'd'))),
  ]);
  expect([await miscounted(db), await misjudged(db)]).toEqual([[], []]);
  expect(await db.query('select count(*)::int as n from muster.run where complete')).toEqual([
    { n: 400 },
  ]);
});

test('re-evaluation gives waiting sets a deadline when the function first defines one', async ({
  db,
}) => {
  const old = await workerOn(db, [both]);
  for (const each of [partA('x'), partA('y'), partB('y')]) await old.ingestor.ingest(each);
  const timed = await workerOn(db, [pairOf({ overdueAfter: '1 hour' })]);
  await reEvaluate(timed.database, timed.store, timed.served);
  expect(
    await db.query(
      `select array(select s.key from muster.sets s where s.key_hash = any (keys)) as keys from muster.deadline`,
    ),
  ).toEqual([{ keys: ['x'] }]);
});

test('a part keeps its index; that of a former part is reassigned only once it is empty', async ({
  db,
}) => {
  const old = await workerOn(db, [both]);
  await old.ingestor.ingest(partA());
  await old.ingestor.ingest(partB());
  // b is removed, c is new: b's index still has a row, so c gets another index and does not count that row
  const next = await workerOn(db, [pairOf({ parts: { a: part('a'), c: part('c') } })]);
  expect(Object.fromEntries(next.served[0]!.partIndexOf)).toEqual({ a: 1, c: 3 });
  await reEvaluate(next.database, next.store, next.served);
  expect(await setsOf(db, 3)).toEqual([{ key: 'x', counts: [1, 1, 0], fresh: 2 }]);
  expect(await runsOf(db)).toMatchObject([{ key: 'x', complete: false }]);
  await next.ingestor.ingest(change('c', 1e6, { id: 9, k: 'x', kind: 'c' }));
  expect(await runsOf(db)).toMatchObject([{ key: 'x', complete: true }]);
  // once its rows are deleted, b's index is free
  await db.query('delete from muster.member where part_index = 2');
  await db.query('update muster.sets set counts[2] = 0, fresh = fresh - 1');
  const last = await workerOn(db, [
    pairOf({ parts: { a: part('a'), c: part('c'), d: part('d') } }),
  ]);
  expect(Object.fromEntries(last.served[0]!.partIndexOf)).toEqual({ a: 1, c: 3, d: 2 });
  await last.ingestor.ingest(change('c', 1e6 + 1, { id: 10, k: 'x', kind: 'd' }));
  expect(await setsOf(db, 3)).toEqual([{ key: 'x', counts: [1, 1, 1], fresh: 3 }]);
  expect(await miscounted(db)).toEqual([]);
});

test('a part whose filter changes is a new part, and counts no rows of the old one', async ({
  db,
}) => {
  const old = await workerOn(db, [one]);
  await old.ingestor.ingest(partA());
  const next = await workerOn(db, [pairOf({ parts: { a: part('b') } })]);
  expect(Object.fromEntries(next.served[0]!.partIndexOf)).toEqual({ a: 2 });
  await reEvaluate(next.database, next.store, next.served);
  expect(await runsOf(db)).toMatchObject([{ key: 'x', complete: false }]);
});

test('a part that needs more rows, or stores more columns, keeps its index', async ({ db }) => {
  const old = await workerOn(db, [one]);
  await old.ingestor.ingest(partA());
  const next = await workerOn(db, [
    pairOf({ parts: { a: { ...part('a'), count: 2, columns: ['n'] } } }),
  ]);
  expect(Object.fromEntries(next.served[0]!.partIndexOf)).toEqual({ a: 1 });
  await reEvaluate(next.database, next.store, next.served);
  expect(await runsOf(db)).toMatchObject([{ key: 'x', complete: false }]);
  await next.ingestor.ingest(change('u', 1e6, { id: 'second', k: 'x', kind: 'a', n: 1 }));
  expect(await runsOf(db)).toMatchObject([{ key: 'x', complete: true }]);
});

test('a definition that finds no free part index is refused, and changes nothing', async ({
  db,
}) => {
  const full = await workerOn(db, [pairOf({ parts: kinds(0) })]);
  await full.ingestor.ingest(change('u', 1, { id: 1, k: 'x', kind: '3' }));
  const database = databaseOn(db);
  await expect(register(database, specify(pairOf({ parts: kinds(100) })))).rejects.toThrow(
    'function pair: no index is free for part p100: rows of earlier definitions still occupy all 16',
  );
  await database.close();
  expect(await full.ingestor.ingest(change('u', 2, { id: 1, k: 'x', kind: '4' }))).toEqual({
    kind: 'ingested',
  });
});
