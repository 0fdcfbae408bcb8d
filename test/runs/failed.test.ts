import { expect } from 'vitest';
import { TerminalError } from '../../src/function.ts';
import { retryFailed } from '../../src/state/runs/retry-sets.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { sinkServer } from '../support/sink.ts';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';

test('a set that failed permanently is reported at once, with its attempts and its error', async ({
  db,
}) => {
  const sink = await sinkServer();
  const definition = pairOf({
    retry: { attempts: 2, first: '1 millisecond' },
    handle({ keyText }) {
      throw keyText === 'x' ? new TerminalError('no stock') : new Error('no answer');
    },
  });
  // a minute between periodic claims: the report is sent because the run has failed
  const engine = await engineOn(db, [definition], { K_SINK: sink.url, CLAIM_SECONDS: '60' });
  for (const each of [partA('x'), partB('x')]) await engine.ingestor.ingest(each);
  await until(() => sink.ids.length === 1);
  expect(sink.ids[0]).toMatch(/^pair\/x\/1\/failed\/\d+$/);
  expect(JSON.parse(sink.bodies[0]!)).toEqual({
    function: 'pair',
    key: 'x',
    revision: 1,
    attempts: 1,
    error: 'TerminalError: no stock',
  });
  await engine.stop();
});

test('a failed attempt that is retried is not reported; a final failure is, once', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()], { slots: 1 });
  for (const each of [partA('x'), partB('x')]) await worker.ingestor.ingest(each);
  const [lease] = worker.leases;
  expect(await worker.runs.fail(lease!, 'again', 0)).toBe(true);
  expect(await reports()).toEqual([]);

  const fail = async () => {
    const [claimed] = await worker.runs.claim(1, worker.id, 1);
    expect(await worker.runs.fail(claimed!, 'permanently', null)).toBe(true);
    expect(await worker.runs.fail(claimed!, 'permanently', null)).toBe(false);
  };
  await fail();
  expect(await reports()).toEqual(['pair/x/1/failed/2']);
  await retryFailed(worker.database, 1, 'x');
  await fail();
  expect(await reports()).toEqual(['pair/x/1/failed/2', 'pair/x/1/failed/3']);

  async function reports() {
    const rows = await db.query<{ id: string }>(
      `select event_id as id from muster.outbox where type = 'muster.set.failed' and subject = 'x' order by id`,
    );
    return rows.map(({ id }) => id);
  }
});
