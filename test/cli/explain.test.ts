import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import recordings from '../../functions/recordings.ts';
import type { FunctionDefinition } from '../../src/function.ts';
import { specify } from '../../src/definitions/specification.ts';
import { register } from '../../src/state/registration/register.ts';
import { change } from '../support/changes.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { muster } from './command.ts';

/** Returns the first line and the obstacles of `muster explain`, which are the same as text and as JSON. */
async function explain(db: TestDatabase, fn: string, key: string) {
  const env = { DATABASE_URL: db.url };
  const { stdout } = await muster(env, ['explain', fn, key]);
  const json = (await muster(env, ['explain', fn, key, '--json'])).stdout;
  const { obstacles } = JSON.parse(json) as { obstacles: string[] };
  const lines = stdout.split('\n');
  expect(lines.slice(1, obstacles.length + 1)).toEqual(obstacles.map((each) => `  ${each}`));
  expect(json.split('\n')).toHaveLength(2);
  return { set: lines[0], obstacles };
}

const PAUSED = "pair is paused: no run starts until 'muster resume pair'";
const UNSERVED =
  "no worker that serves pair is running: start one with 'muster serve', or let KEDA start one";

test('explains a set of a paused function by the pause until it is done', async ({ db }) => {
  const pod = await workerOn(db, [pairOf()]);
  const pause = (paused: boolean) => db.query('update muster.function set paused = $1', [paused]);
  await pause(true);
  await pod.ingestor.ingest(partA());
  expect(await explain(db, 'pair', 'x')).toEqual({ set: 'pair x: waiting', obstacles: [PAUSED] });
  await pod.ingestor.ingest(partB());
  expect(await explain(db, 'pair', 'x')).toEqual({ set: 'pair x: complete', obstacles: [PAUSED] });
  await pause(false);
  expect(await explain(db, 'pair', 'x')).toEqual({ set: 'pair x: complete', obstacles: [] });
  await pause(true);
  await db.query(`update muster.run set state = 'done', finished_at = now()`);
  expect(await explain(db, 'pair', 'x')).toEqual({ set: 'pair x: done', obstacles: [] });
});

test('explains a complete set by the lack of a worker that would run it', async ({ db }) => {
  const pod = await workerOn(db, [pairOf()]);
  for (const each of [partA(), partB()]) await pod.ingestor.ingest(each);
  expect((await explain(db, 'pair', 'x')).obstacles).toEqual([]);

  const newer = pairOf({ overdueAfter: '2 hours' });
  await register(pod.database, specify(newer));
  expect((await explain(db, 'pair', 'x')).obstacles).toEqual([
    'no worker serves the newest generation 2 of pair, and 1 worker of an older generation starts no runs',
  ]);
  // a worker of another function
  await workerOn(db, [pairOf({ name: 'other' })]);
  await pod.runs.deregister(pod.id);
  expect((await explain(db, 'pair', 'x')).obstacles).toEqual([UNSERVED]);
  // in back-off no worker is needed
  await db.query(`update muster.run set due_at = now() + interval '1 hour'`);
  expect((await explain(db, 'pair', 'x')).obstacles).toEqual([]);
  await db.query('update muster.run set due_at = now()');
  const next = await workerOn(db, [newer]);
  expect((await explain(db, 'pair', 'x')).obstacles).toEqual([]);
  await db.query(`update muster.worker set lease_until = now() - interval '1 second'`);
  expect((await explain(db, 'pair', 'x')).obstacles).toEqual([UNSERVED]);
  await next.close();
});

test('explains a set by a definition that is newer than this release, or not registered', async ({
  db,
}) => {
  const mine = recordings as FunctionDefinition;
  const other = { ...mine, overdueAfter: '20 minutes' } as const;
  const pod = await workerOn(db, [other]);
  const recording = randomUUID();
  const row = { id: randomUUID(), recording, span: '[0,60)', sensor_type: 'eeg' };
  await pod.ingestor.ingest(change('c', 1, row, { stream: 'datastore.signal' }));
  const key = JSON.stringify([recording, '[0,60)']);
  expect((await explain(db, 'recordings', key)).obstacles).toEqual([
    "the definition of recordings in this release is not registered, generation 1 is: run 'muster migrate' to register it",
  ]);
  await register(pod.database, specify(mine));
  expect((await explain(db, 'recordings', key)).obstacles).toEqual([]);
  await register(pod.database, specify(other), true);
  expect((await explain(db, 'recordings', key)).obstacles).toEqual([
    "the registered definition of recordings (generation 3) is newer than that of this release (generation 2), whose workers answer 503: roll out the newer release; or, to roll back to this one, run 'muster migrate'",
  ]);
});

test('shows the last error of a run without repeated words, and a late change in the singular', async ({
  db,
}) => {
  const definition = pairOf({
    retry: { attempts: 1 },
    async handle({ keyText }, { tx }) {
      if (keyText === 'plain') throw new Error('no stock');
      await tx.query('select 1 / 0');
    },
  });
  const engine = await engineOn(db, [definition]);
  const lastError = async (key: string) => {
    for (const each of [partA(key), partB(key)]) await engine.ingestor.ingest(each);
    const failed = `select from muster.run where state = 'failed' and key = $1`;
    await until(async () => (await db.query(failed, [key])).length === 1);
    const { stdout } = await muster({ DATABASE_URL: db.url }, ['explain', 'pair', key]);
    return /last error: .*/.exec(stdout)?.[0];
  };
  expect(await lastError('plain')).toBe('last error: no stock');
  expect(await lastError('sql')).toBe(
    'last error: DatabaseError (SQLSTATE 22012): division by zero',
  );
  await db.query('update muster.run set late = 1');
  const { stdout } = await muster({ DATABASE_URL: db.url }, ['explain', 'pair', 'sql']);
  expect(stdout).toContain('    1 change arrived after it started\n');
  await engine.stop();
});

test('explains a running set by the lease of its worker', async ({ db }) => {
  const pod = await workerOn(db, [pairOf()]);
  for (const each of [partA(), partB()]) await pod.ingestor.ingest(each);
  await db.query(
    `update muster.run set state = 'running', worker = (select id from muster.worker), started_at = now()`,
  );
  const { stdout } = await muster({ DATABASE_URL: db.url }, ['explain', 'pair', 'x']);
  expect(stdout).toMatch(/^pair x: running$/m);
  const [, leased] =
    /leased until (\S+); if its worker is dead, another one takes over then$/m.exec(stdout)!;
  const [worker] = await db.query<{ until: string }>(
    'select to_jsonb(lease_until) #>> array[]::text[] as until from muster.worker',
  );
  expect(Date.parse(leased!)).toBeLessThanOrEqual(Date.parse(worker!.until));
});

test('an explanation has the times of its run', async ({ db }) => {
  const pod = await workerOn(db, [pairOf()]);
  for (const each of [partA(), partB()]) await pod.ingestor.ingest(each);
  const { stdout } = await muster({ DATABASE_URL: db.url }, ['explain', 'pair', 'x', '--json']);
  const { run } = JSON.parse(stdout) as { run: Record<string, unknown> };
  expect(run).toEqual({
    revision: 1,
    state: 'ready',
    attempts: 0,
    createdAt: expect.stringMatching(/^\d{4}-/),
    startedAt: null,
    finishedAt: null,
    dueAt: expect.stringMatching(/^\d{4}-/),
    leaseUntil: null,
    lateChanges: 0,
    lastError: null,
  });
});

test.for(['["r"', '["r"]', 'r', '{}'])(
  'explains the form of a key to one who gives %s',
  async (key, { db }) => {
    await workerOn(db, [recordings]);
    const { code, stdout, stderr } = await muster({ DATABASE_URL: db.url }, [
      'explain',
      'recordings',
      key,
    ]);
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: '',
      stderr: `muster: '${key}' is not a key: the key of recordings is a JSON array of recording, span\n`,
    });
  },
);
