import { expect } from 'vitest';
import { UNAVAILABLE, type RowChange } from '../../../src/state/change.ts';
import { forgetSource, listSources, replaceSource } from '../../../src/state/ingest/sources.ts';
import { change, read, truncate } from '../../support/changes.ts';
import { pairOf } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { miscounted, runsOf, setsOf } from '../../support/state.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const of = (source: string, lsn: number, id: number, kind: string): RowChange =>
  change('c', lsn, { id, k: source, kind }, { source });
const north = [of('north', 100, 1, 'a'), of('north', 101, 2, 'b')];
const south = [of('south', 90_000, 1, 'a'), of('south', 90_001, 2, 'b')];
const held = (db: TestDatabase) =>
  db.query(`select s.name as source, k.key, m.id from muster.member m
            left join muster.sets k on k.function = m.function and k.key_hash = m.key_hash
            join muster.source s on s.id = m.source where m.in_set order by s.name, m.id`);

for (const [name, changes] of [
  ['one after the other', [...north, ...south]],
  ['the longer log first', [...south, ...north]],
  ['in turn', [north[0]!, south[0]!, north[1]!, south[1]!]],
] as const) {
  test(`rows of two sources with one table and the same ids are two rows each: ${name}`, async ({
    db,
  }) => {
    const worker = await workerOn(db, [pairOf()], { slots: 4 });
    for (const each of changes) {
      expect(await worker.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
    }
    expect(await runsOf(db)).toMatchObject([
      { key: 'north', state: 'running' },
      { key: 'south', state: 'running' },
    ]);
  });
}

test('rows of two sources in one batch are two rows', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await Promise.all([...north, ...south].map((each) => worker.ingestor.ingest(each)));
  expect(await held(db)).toEqual([
    { source: 'north', key: 'north', id: '1' },
    { source: 'north', key: 'north', id: '2' },
    { source: 'south', key: 'south', id: '1' },
    { source: 'south', key: 'south', id: '2' },
  ]);
});

test('a truncate at one source removes no row of another', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  for (const each of [...north, ...south]) await worker.ingestor.ingest(each);
  await worker.ingestor.ingest(truncate(1_000_000, { source: 'north' }));
  // a late change is only below the truncate of its own source
  await worker.ingestor.ingest(of('south', 90_002, 3, 'a'));
  await worker.ingestor.ingest(of('north', 102, 3, 'a'));
  expect(await held(db)).toEqual([
    { source: 'south', key: 'south', id: '1' },
    { source: 'south', key: 'south', id: '2' },
    { source: 'south', key: 'south', id: '3' },
  ]);
  expect(await miscounted(db)).toEqual([]);
});

test('a column that was not sent is only taken from the same source', async ({ db }) => {
  const kept = { table: 'public.item', key: 'k', columns: ['note'] };
  const worker = await workerOn(db, [pairOf({ parts: { a: kept } })]);
  const row = { id: 1, k: 'x', kind: 'a', note: 'of north' };
  await worker.ingestor.ingest(change('c', 1, row, { source: 'north' }));
  await worker.ingestor.ingest(change('u', 2, { ...row, note: UNAVAILABLE }, { source: 'south' }));
  expect(
    await db.query(
      `select s.name, m.columns ->> 'note' as note from muster.member m join muster.source s on s.id = m.source order by 1`,
    ),
  ).toEqual([
    { name: 'north', note: 'of north' },
    { name: 'south', note: null },
  ]);
});

test('an incremental read that a connector emits late hides no change made in between', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const row = { id: 1, k: 'old', kind: 'a' };
  const emitted = { snapshot: 'incremental', at: Date.now() + 77_000, lsn: 200n } as const;
  await worker.ingestor.ingest(change('c', 100, row));
  await worker.ingestor.ingest(read(0, row, emitted));
  await worker.ingestor.ingest(change('u', 300, { ...row, k: 'new' }));
  expect(await held(db)).toMatchObject([{ key: 'new' }]);
  await worker.ingestor.ingest(read(0, row, emitted));
  expect(await held(db)).toMatchObject([{ key: 'new' }]);
  await worker.ingestor.ingest(change('d', 400, { id: 1 }));
  await worker.ingestor.ingest(read(0, row, emitted));
  expect(await held(db)).toEqual([]);
});

test('an incremental read hides no transaction that wrote before it and committed after it', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const row = { id: 1, k: 'old', kind: 'a' };
  const emitted = { snapshot: 'incremental', at: Date.now() + 77_000, lsn: 200n } as const;
  const long = change('u', 150, { ...row, k: 'new' }, { lastCommit: 210n });
  for (const each of [read(0, row, emitted), long, read(0, row, emitted)]) {
    await worker.ingestor.ingest(each);
    expect(await worker.ingestor.ingest(each)).toEqual({ kind: 'ingested' });
  }
  expect(await held(db)).toMatchObject([{ key: 'new' }]);
});

test('a snapshot read repairs a row whose change was lost', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(change('c', 100, { id: 1, k: 'old', kind: 'a' }));
  const repaired = { snapshot: 'incremental', at: Date.now() + 77_000, lsn: 200n } as const;
  await worker.ingestor.ingest(read(0, { id: 1, k: 'lost', kind: 'a' }, repaired));
  expect(await held(db)).toMatchObject([{ key: 'lost' }]);
  expect((await setsOf(db)).filter(({ fresh }) => fresh > 0)).toEqual([
    { key: 'lost', counts: [1, 0], fresh: 1 },
  ]);
});

const item = (lsn: number, row: object, source: string) =>
  change('u', lsn, { k: 'x', ...row }, { source });

test('a connector that replaces another one continues with its rows, even if its log is shorter', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 2 });
  await worker.ingestor.ingest(item(9_000, { id: 1, kind: 'a' }, 'old'));
  expect(await replaceSource(worker.database, 'old', 'new')).toEqual({ epoch: 1, forgotten: 0 });
  await worker.ingestor.ingest(item(10, { id: 1, k: 'y', kind: 'a' }, 'new'));
  expect(await held(db)).toEqual([
    { source: 'new', key: 'y', id: '1' },
    { source: 'old', key: 'y', id: '1' },
  ]); // one row, under both names
  // its initial snapshot reads rows that were written while no connector was running
  const initial = { source: 'new', lsn: 5n };
  await worker.ingestor.ingest(read(0, { id: 2, k: 'y', kind: 'b' }, initial));
  expect(await runsOf(db)).toMatchObject([{ key: 'y', revision: 1, state: 'running' }]);
});

test('rows that a successor sent before the replacement are forgotten, once', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  await worker.ingestor.ingest(item(9_000, { id: 1, kind: 'a' }, 'old'));
  await worker.ingestor.ingest(item(10, { id: 1, kind: 'a' }, 'new'));
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [2, 0], fresh: 2 }]);
  expect(await replaceSource(worker.database, 'old', 'new')).toEqual({ epoch: 1, forgotten: 1 });
  expect(await replaceSource(worker.database, 'old', 'new')).toEqual({ epoch: 1, forgotten: 0 });
  expect(await setsOf(db)).toEqual([{ key: 'x', counts: [1, 0], fresh: 1 }]);
  expect(await miscounted(db)).toEqual([]);
});

test('a forgotten source leaves every set, and events from a worker that still knows it are refused until it reads the sources again', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  const changes = Array.from({ length: 300 }, (_, i) =>
    item(i + 1, { id: i, k: `k${i}`, kind: 'a' }, 'tenant'),
  );
  await Promise.all(changes.map((each) => worker.ingestor.ingest(each)));
  await worker.ingestor.ingest(item(9_000, { id: 1, kind: 'a' }, 'other'));
  expect(await forgetSource(worker.database, 'tenant')).toBe(300);
  expect(await held(db)).toEqual([{ source: 'other', key: 'x', id: '1' }]);
  expect(await miscounted(db)).toEqual([]);

  await expect(worker.ingestor.ingest(item(400, { id: 1, kind: 'a' }, 'tenant'))).rejects.toThrow(
    'a source was forgotten or replaced a moment ago',
  );
  await worker.positions.exchange();
  await worker.ingestor.ingest(item(400, { id: 1, kind: 'a' }, 'tenant'));
  expect((await listSources(worker.database)).map(({ name }) => name)).toEqual(['other', 'tenant']);
  await expect(forgetSource(worker.database, 'tennant')).rejects.toThrow(
    "no source 'tennant' is known (other, tenant)",
  );
});
