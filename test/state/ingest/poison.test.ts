import { expect } from 'vitest';
import { change } from '../../support/changes.ts';
import { pairOf } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { miscounted, setsOf } from '../../support/state.ts';
import { test } from '../../support/test.ts';

const kept = pairOf({
  parts: { a: { table: 'public.item', key: 'k', columns: ['note'] } },
});

const NUL = 'unsupported Unicode escape sequence';
const poisons: [name: string, row: Record<string, unknown>, detail: string][] = [
  ['U+0000 in a stored column', { k: 'x', note: 'a\0b' }, NUL],
  ['U+0000 within a stored object', { k: 'x', note: { deep: ['\0'] } }, NUL],
  [
    'half a surrogate pair in a stored column',
    { k: 'x', note: 'a\ud800' },
    'invalid input syntax for type json',
  ],
  ['U+0000 in the key', { k: 'x\0', note: '' }, 'unsupported Unicode escape sequence'],
];

for (const [name, row, detail] of poisons) {
  test(`${name}: its event is parked, the rest of its batch is ingested`, async ({ db }) => {
    const worker = await workerOn(db, [kept]);
    const outcomes = await Promise.all(
      [1, 2, 3, 4, 5, 6, 7].map((id) =>
        worker.ingestor.ingest(
          change('c', id, id === 5 ? { ...row, id } : { id, k: 'x', note: 'fine' }),
        ),
      ),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual([
      ...Array.from({ length: 4 }, () => 'ingested'),
      'parked',
      'ingested',
      'ingested',
    ]);
    expect(outcomes[4]).toMatchObject({ reason: 'bad-value' });
    expect(await setsOf(db, 1)).toEqual([{ key: 'x', counts: [6], fresh: 6 }]);
    expect(await db.query('select reason, detail, seen from muster.parked')).toEqual([
      { reason: 'bad-value', detail: expect.stringContaining(detail), seen: 1 },
    ]);
  });
}

test('five poison rows among 256 are parked, and the others are ingested', async ({ db }) => {
  const worker = await workerOn(db, [kept]);
  const poison = new Set([0, 17, 18, 200, 255]);
  const file = () =>
    Promise.all(
      Array.from({ length: 256 }, (_, id) =>
        worker.ingestor.ingest(
          change('c', id + 1, { id, k: `k${id % 3}`, note: poison.has(id) ? '\0' : 'fine' }),
        ),
      ),
    );
  const kinds = Array.from({ length: 256 }, (_, id) => (poison.has(id) ? 'parked' : 'ingested'));
  expect((await file()).map(({ kind }) => kind)).toEqual(kinds);
  expect((await file()).map(({ kind }) => kind)).toEqual(kinds);
  expect(await db.query('select count(*)::int as n, min(seen) as seen from muster.parked')).toEqual(
    [{ n: 5, seen: 2 }],
  );
  expect(await db.query('select count(*)::int as n from muster.member where in_set')).toEqual([
    { n: 251 },
  ]);
  expect(await miscounted(db)).toEqual([]);
});

test('runs that a bisected batch creates are leased or found by the next claim', async ({ db }) => {
  const worker = await workerOn(
    db,
    [
      pairOf({
        parts: { ...pairOf().parts, c: { table: 'public.other', key: 'k', columns: ['note'] } },
        complete: { atLeast: 2, of: ['a', 'b'] },
      }),
    ],
    { slots: 4 },
  );
  const changes = ['x', 'y'].flatMap((k, i) => [
    change('c', 10 + i, { id: `${k}a`, k, kind: 'a' }),
    change('c', 20 + i, { id: `${k}b`, k, kind: 'b' }),
  ]);
  changes.splice(2, 0, change('c', 30, { id: 1, k: 'x', note: '\0' }, { stream: 'public.other' }));
  await Promise.all(changes.map((each) => worker.ingestor.ingest(each)));
  const leases = [
    ...worker.leases,
    ...(await worker.runs.claim(worker.served[0]!.id, worker.id, 10)),
  ];
  expect(new Map(leases.map(({ key, token }) => [key, token]))).toEqual(
    new Map([
      ['x', 1],
      ['y', 1],
    ]),
  );
  expect(leases.length).toBe(2);
});

test("an event whose attributes Postgres can't store is parked, too", async ({ db }) => {
  const worker = await workerOn(db, [kept]);
  const bad = change('c', 1, { id: 1, k: 'x', note: '\0' });
  const outcome = await worker.ingestor.ingest({
    ...bad,
    origin: { ...bad.origin, attributes: { source: '/s', id: '1', subject: 'a\0b\ud800c' } },
  });
  expect(outcome).toMatchObject({ kind: 'parked', reason: 'bad-value' });
  expect(await db.query('select attributes from muster.parked')).toEqual([
    { attributes: { source: '/s', id: '1', subject: 'a\\0b\ufffdc' } },
  ]);
});
