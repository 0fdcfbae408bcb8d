import { expect } from 'vitest';
import { type FunctionDefinition, TerminalError, type Tx } from '../../src/function.ts';
import { change } from '../support/changes.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

type Handle = NonNullable<FunctionDefinition['handle']>;

/** Runs one set with this handler, in a single attempt; returns its final state. */
async function failure(db: TestDatabase, handle: Handle, more: Partial<FunctionDefinition> = {}) {
  const definition = pairOf({ retry: { attempts: 1 }, handle, ...more });
  const engine = await engineOn(db, [definition], { STATEMENT_TIMEOUT_SECONDS: '5' });
  for (const each of [partA(), partB()]) await engine.ingestor.ingest(each);
  const run = await until(
    async () =>
      (
        await db.query<{ state: string; error: string }>(
          `select state, error from muster.run where state in ('done', 'failed')`,
        )
      )[0],
  );
  await engine.stop();
  return run;
}

const wrong: [name: string, handle: Handle, error: unknown][] = [
  [
    'throws an error',
    () => {
      throw new Error('no');
    },
    'Error: no',
  ],
  [
    'throws text',
    () => {
      throw 'no';
    },
    'no',
  ],
  [
    'throws undefined',
    () => {
      throw undefined;
    },
    'undefined',
  ],
  [
    'throws a value without a text form',
    () => {
      throw Object.create(null);
    },
    'a value of type object without a text form',
  ],
  [
    'throws U+0000',
    () => {
      throw new Error('a\0b');
    },
    'Error: a\\0b',
  ],
  [
    'rejects',
    async () => {
      throw new TerminalError('never');
    },
    'TerminalError: never',
  ],
  [
    'returns something other than a list',
    () => 'done' as never,
    'TerminalError: the handler of pair returned a string: return an array of events, or nothing',
  ],
  [
    'returns an event without a type',
    () => [{} as never],
    'TerminalError: the handler of pair returned invalid events: event 0: type is missing',
  ],
  [
    'returns a null event',
    () => [{ type: 't' }, null as never],
    'TerminalError: the handler of pair returned invalid events: event 1: must be an object, not null',
  ],
  [
    'returns an event with an unknown property',
    () => [{ type: 't', sbject: 'x' } as never],
    "TerminalError: the handler of pair returned invalid events: event 0: there is no property 'sbject'; did you mean 'subject'?",
  ],
  [
    'returns an event with an invalid subject and invalid data',
    () => [{ type: 't', subject: 5, data: () => 1 } as never],
    'TerminalError: the handler of pair returned invalid events: event 0: subject must be text without U+0000, not 5; event 0: data must be a value that JSON can represent, not [Function: data]',
  ],
  [
    'returns data with a cycle',
    () => {
      const data: unknown[] = [];
      data.push(data);
      return [{ type: 't', data }];
    },
    expect.stringMatching(/^TerminalError: data of an event is not JSON: Converting circular/),
  ],
  [
    'returns a type with U+0000',
    () => [{ type: 'a\0b' }],
    "TerminalError: the handler of pair returned invalid events: event 0: type must be text that is not empty, not 'a\\x00b'",
  ],
  [
    'hides the error of a refused write',
    async (_set, { tx }) => {
      await tx.query('insert into nowhere values (1)').catch(() => {});
    },
    expect.stringMatching(/^DatabaseError \(SQLSTATE \w+\): current transaction is aborted/),
  ],
];
for (const [name, handle, error] of wrong) {
  test(`a handler that ${name} fails only its own run, which is reported`, async ({ db }) => {
    expect(await failure(db, handle)).toEqual({
      state: 'failed',
      error,
    });
    expect(await db.query('select type from muster.outbox')).toEqual([
      { type: 'muster.set.failed' },
    ]);
  });
}

test('a handler that ignores its signal is abandoned at its timeout, and writes nothing more', async ({
  db,
}) => {
  await db.query('create table effect (n int)');
  const gate = Promise.withResolvers<void>();
  const after = Promise.withResolvers<unknown>();
  let signal: AbortSignal | undefined;
  const run = await failure(
    db,
    async (_set, context) => {
      signal = context.signal;
      await context.tx.query('insert into effect values (1)');
      await gate.promise;
      after.resolve(
        await context.tx.query('insert into effect values (2)').catch((error: unknown) => error),
      );
    },
    { timeout: '1 second' },
  );
  expect(run).toEqual({ state: 'failed', error: 'TimedOut: the attempt took longer than 1000 ms' });
  expect(signal!.reason).toMatchObject({ name: 'TimedOut' });
  gate.resolve();
  expect(await after.promise).toMatchObject({ message: 'the transaction of this run has ended' });
  expect(await db.query('select * from effect')).toEqual([]);
});

test('a query that still runs at the timeout does not delay the run', async ({ db }) => {
  const startedAt = performance.now();
  const run = await failure(
    db,
    async (_set, { tx }) => void (await tx.query('select pg_sleep(10)')),
    {
      timeout: '200 milliseconds',
    },
  );
  expect(run.error).toBe('TimedOut: the attempt took longer than 200 ms');
  expect(performance.now() - startedAt).toBeLessThan(8000);
});

test('a transaction used after its handler has ended is refused', async ({ db }) => {
  let kept: Tx | undefined;
  const run = await failure(db, async (_set, { tx }) => {
    kept = tx;
    await tx.query('select 1');
  });
  expect(run.state).toBe('done');
  await expect(kept!.query('select 1')).rejects.toThrow('the transaction of this run has ended');
});

test('a handler that does not use its transaction opens none', async ({ db }) => {
  let kept: Tx | undefined;
  expect(
    await failure(db, (_set, { tx }) => {
      kept = tx;
    }),
  ).toMatchObject({ state: 'done' });
  await expect(kept!.query('select 1')).rejects.toThrow('the transaction of this run has ended');
});

test('a constraint that fails at COMMIT fails the run, which is not marked done', async ({
  db,
}) => {
  await db.query('create table effect (n int unique deferrable initially deferred)');
  await db.query('insert into effect values (1)');
  const run = await failure(
    db,
    async (_set, { tx }) => void (await tx.query('insert into effect values (1)')),
  );
  expect(run).toEqual({ state: 'failed', error: expect.stringMatching(/duplicate key/) });
});

test('the run id is the same in every attempt, the attempt is not', async ({ db }) => {
  const seen: unknown[] = [];
  const run = await failure(
    db,
    (set, { runId, attempt }) => {
      seen.push([set.revision, runId, attempt]);
      if (attempt < 3) throw new Error('again');
    },
    { retry: { attempts: 3, first: '1 millisecond' } },
  );
  expect(run.state).toBe('done');
  expect(seen).toEqual([
    [1, 'pair/x/1', 1],
    [1, 'pair/x/1', 2],
    [1, 'pair/x/1', 3],
  ]);
});

test('integers beyond 2^53 reach the handler as bigint, and are sent as exact numbers', async ({
  db,
}) => {
  const seen: unknown[] = [];
  const engine = await engineOn(db, [
    pairOf({
      parts: { a: { table: 'public.item', key: ['k', 'n'], columns: ['more'] } },
      handle(set) {
        const rows = set.parts['a']!.map(({ id, row, lsn }) => ({ id, row, lsn }));
        seen.push({ key: set.key, text: set.keyText, rows });
        return [{ type: 't', data: rows[0]!.row['n'] }];
      },
    }),
  ]);
  const n = JSON.rawJSON('9007199254740993');
  await engine.ingestor.ingest(
    change('c', 7, { id: n, k: 'x', n, more: { deep: [n, 1.5, 'y', null] } }),
  );
  await until(() => seen.length > 0);
  expect(seen).toEqual([
    {
      key: { k: 'x', n: '9007199254740993' },
      text: '["x","9007199254740993"]',
      rows: [
        {
          id: '9007199254740993',
          lsn: '7',
          row: {
            id: 9007199254740993n,
            k: 'x',
            n: 9007199254740993n,
            more: { deep: [9007199254740993n, 1.5, 'y', null] },
          },
        },
      ],
    },
  ]);
  expect(
    await until(async () => (await db.query('select data::text from muster.outbox'))[0]),
  ).toEqual({
    data: '9007199254740993',
  });
  await engine.stop();
});
