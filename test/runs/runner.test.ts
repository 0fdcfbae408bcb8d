import { expect } from 'vitest';
import { defineFunction, TerminalError } from '../../src/function.ts';
import { change } from '../support/changes.ts';
import { engineOn } from '../support/engine.ts';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';

const parts = {
  a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
  b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
} as const;

test('a complete set runs once, with its rows, and its writes commit with the run marked done', async ({
  db,
}) => {
  await db.query('create table effect (run text)');
  const seen: unknown[] = [];
  const definition = defineFunction({
    name: 'pair',
    parts,
    async handle(set, { tx, runId, attempt }) {
      seen.push({
        key: set.key,
        a: set.parts.a.map((m) => m.row),
        b: set.parts.b.map((m) => m.lsn),
        attempt,
      });
      await tx.query('insert into effect values ($1)', [runId]);
      return [{ type: 'pair.done', data: { n: 1 } }];
    },
  });
  const engine = await engineOn(db, [definition], { SINK: 'stdout' });
  await engine.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  expect(seen).toEqual([]);
  await engine.ingestor.ingest(change('c', 2, { id: 2, k: 'x', kind: 'b' }));
  await until(
    async () => (await db.query(`select from muster.run where state = 'done'`)).length === 1,
  );
  expect(seen).toEqual([
    { key: { k: 'x' }, a: [{ id: 1, k: 'x', kind: 'a' }], b: ['2'], attempt: 1 },
  ]);
  expect(await db.query('select * from effect')).toEqual([{ run: 'pair/x/1' }]);
  await until(
    async () =>
      (await db.query('select from muster.outbox where sent_at is not null')).length === 1,
  );
  await engine.stop();
});

test('a failed attempt is retried, a terminal one rests until the set changes', async ({ db }) => {
  let attempts = 0;
  const engine = await engineOn(db, [
    defineFunction({
      name: 'pair',
      parts,
      retry: { first: '10 milliseconds' },
      async handle(_set, { attempt }) {
        attempts++;
        if (attempts === 1) throw new Error('once');
        if (attempts === 2) throw new TerminalError(`never, at attempt ${attempt}`);
      },
    }),
  ]);
  await engine.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await engine.ingestor.ingest(change('c', 2, { id: 2, k: 'x', kind: 'b' }));
  await until(
    async () => (await db.query(`select from muster.run where state = 'failed'`)).length === 1,
  );
  expect(await db.query('select attempt, error from muster.run')).toEqual([
    { attempt: 2, error: 'TerminalError: never, at attempt 2' },
  ]);
  await engine.ingestor.ingest(change('u', 3, { id: 2, k: 'x', kind: 'b' }));
  await until(
    async () => (await db.query(`select from muster.run where state = 'done'`)).length === 1,
  );
  expect(attempts).toBe(3);
  await engine.stop();
});
