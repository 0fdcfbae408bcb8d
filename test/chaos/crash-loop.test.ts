import { expect, onTestFinished } from 'vitest';
import type { TestProcess } from '../support/process.ts';
import { deliver, envelope } from '../support/sender.ts';
import { until } from '../support/until.ts';
import { doneAndSent, test } from './test.ts';

const NEIGHBOURS = ['slow 1', 'slow 2', 'slow 3'];

test('a run whose handler kills its process every time fails, and the others succeed', async ({
  db,
  chaos,
}) => {
  let pod: TestProcess = await chaos.launch().serving();
  const exits: (NodeJS.Signals | null)[] = [];
  const enough = new AbortController();
  onTestFinished(() => enough.abort());
  const supervised = (async () => {
    while (!enough.signal.aborted) {
      const { signal } = await pod.exited;
      exits.push(signal);
      if (!enough.signal.aborted) pod = await chaos.launch().serving();
    }
  })();

  const complete = (k: string, table: string) =>
    ['a', 'b'].map((kind, i) =>
      deliver(() => pod.url, envelope('c', i + 1, { id: `${k} ${kind}`, k, kind }, table)),
    );
  await Promise.all([
    ...complete('killer', 'public.bounded'),
    ...NEIGHBOURS.flatMap((k) => complete(k, 'public.item')),
  ]);
  await until(
    async () => (await db.query(`select from muster.run where state = 'failed'`)).length === 1,
  );
  await doneAndSent(db, NEIGHBOURS.length);
  enough.abort();
  pod.kill('SIGTERM');
  await supervised;

  expect(exits).toEqual(['SIGKILL', 'SIGKILL', null]);
  expect(await db.query(`select key, error from muster.run where state = 'failed'`)).toEqual([
    {
      key: 'killer',
      error: 'TerminalError: given up after 2 attempts that ended with their process',
    },
  ]);
  expect((await chaos.traces('effect')).map(({ run }) => run)).toEqual(
    NEIGHBOURS.map((k) => `pair/${k}/1`),
  );
});

test('runs that were lost together more than once are not retried together', async ({
  db,
  chaos,
}) => {
  await db.query(`
    insert into muster.run (function, key, revision, complete, state, token, attempt, worker, due_at, created_at, started_at)
    select 0, n::text, 1, true, 'running', n, n, gen_random_uuid(), now(), now(), now() from generate_series(1, 12) n
  `);
  await chaos.launch().serving();
  await until(
    async () => (await db.query(`select from muster.run where state = 'running'`)).length === 0,
  );
  const rest = await db.query<{ n: number; seconds: number }>(
    `select attempt as n, extract(epoch from due_at - min(due_at) over ())::float8 as seconds
     from muster.run order by attempt`,
  );
  expect(rest[0]!.seconds).toBe(0);
  expect(new Set(rest.map((each) => each.seconds)).size).toBe(12);
  for (const { n, seconds } of rest) expect(seconds).toBeLessThanOrEqual(2 ** Math.min(n - 1, 8));
});
