import { expect } from 'vitest';
import { change } from '../support/changes.ts';
import { pairOf } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { test } from '../support/test.ts';
import { muster } from './command.ts';

test('sources are listed, replaced and forgotten', async ({ db }) => {
  const worker = await workerOn(db, [pairOf()]);
  const at = Date.UTC(2026, 5, 1);
  for (const source of ['north', 'south']) {
    await worker.ingestor.ingest(change('c', 7, { id: 1, k: 'x', kind: 'a' }, { source, at }));
  }
  await worker.positions.exchange();
  const run = (...args: string[]) => muster({ DATABASE_URL: db.url }, ['source', ...args]);
  expect((await run('list')).stdout).toBe(
    'north\tepoch 0\t7\t2026-06-01T00:00:00.000Z\nsouth\tepoch 0\t7\t2026-06-01T00:00:00.000Z\n',
  );
  expect(await run('replace', 'north', 'south')).toMatchObject({
    code: 0,
    stdout:
      'south replaces north, in epoch 1\n1 row that south had sent before was forgotten: take a new snapshot of its tables\n',
  });
  expect(JSON.parse((await run('list', '--json')).stdout.split('\n')[1]!)).toEqual({
    source: 'south',
    epoch: 1,
    lsn: null,
    at: null,
  });
  // the rows are still those of its successor
  expect((await run('forget', 'north')).stdout).toBe(
    'source north was forgotten: 0 rows removed from their sets\n',
  );
  expect((await run('forget', 'south')).stdout).toBe(
    'source south was forgotten: 1 row removed from its set\n',
  );
  expect(await run('list')).toEqual({ code: 0, stdout: '', stderr: 'no source is known\n' });
  expect(await run('forget', 'south')).toMatchObject({
    code: 1,
    stderr: "muster: no source 'south' is known (none is)\n",
  });
});
